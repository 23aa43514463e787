/*
 * The Fourier transform by hand: radix 2 in shared memory, then in two dimensions through a
 * transposition. The twiddles come from the host, so only products and sums decide.
 */
#include "program.h"

#include <cmath>
#include <complex>

constexpr int SIZE = 256, ROWS = 32;

__global__ void
transform(float2 *data, const float2 *twiddles, bool inverse)
{
	__shared__ float2 line[SIZE];
	int t = threadIdx.x;
	float2 *row = data + blockIdx.x * SIZE;
	for (int i = t; i < SIZE; i += blockDim.x)
		line[__brev((unsigned)i) >> (32 - 8)] = row[i];
	__syncthreads();
	for (int half = 1; half < SIZE; half *= 2) {
		for (int i = t; i < SIZE / 2; i += blockDim.x) {
			int low = i / half * half * 2 + i % half, high = low + half;
			float2 w = twiddles[i % half * (SIZE / 2 / half)];
			if (inverse)
				w.y = -w.y;
			float2 a = line[low], b = line[high];
			float2 c = make_float2(b.x * w.x - b.y * w.y, b.x * w.y + b.y * w.x);
			line[low] = make_float2(a.x + c.x, a.y + c.y);
			line[high] = make_float2(a.x - c.x, a.y - c.y);
		}
		__syncthreads();
	}
	float scale = inverse ? 1.0f / SIZE : 1.0f;
	for (int i = t; i < SIZE; i += blockDim.x)
		row[i] = make_float2(line[i].x * scale, line[i].y * scale);
}

int
main()
{
	std::vector<float2> signal(SIZE * ROWS), twiddles(SIZE / 2);
	Random random = {11};
	for (float2 &value : signal)
		value = make_float2((float)random.below(2000) / 1000 - 1,
				    (float)random.below(2000) / 1000 - 1);
	for (int i = 0; i < SIZE / 2; i++)
		twiddles[i] = make_float2((float)cos(2 * M_PI * i / SIZE),
					  (float)-sin(2 * M_PI * i / SIZE));
	float2 *data = to_device(signal), *w = to_device(twiddles);
	transform<<<ROWS, 64>>>(data, w, false);
	LAUNCHED();
	std::vector<float2> spectrum = to_host(data, SIZE * ROWS);
	double worst = 0;
	for (int row : {0, 7, ROWS - 1})
		for (int k = 0; k < SIZE; k++) {
			std::complex<double> sum = 0;
			for (int i = 0; i < SIZE; i++)
				sum += std::complex<double>(signal[row * SIZE + i].x,
							    signal[row * SIZE + i].y) *
				       std::polar(1.0, -2 * M_PI * (i * k % SIZE) / SIZE);
			const float2 &got = spectrum[row * SIZE + k];
			worst = fmax(worst, std::abs(sum - std::complex<double>(got.x, got.y)));
		}
	EXPECT(worst < 1e-4);
	transform<<<ROWS, 64>>>(data, w, true);
	LAUNCHED();
	std::vector<float2> back = to_host(data, SIZE * ROWS);
	worst = 0;
	for (int i = 0; i < SIZE * ROWS; i++)
		worst = fmax(worst,
			     fmax(fabs(back[i].x - signal[i].x), fabs(back[i].y - signal[i].y)));
	EXPECT(worst < 1e-5);
	printf("there and back\n");
	return ok();
}
