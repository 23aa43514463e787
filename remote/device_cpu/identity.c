#include "remote/device_cpu/identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/size.h"
#include "remote/device_cpu/cpu.h"
#include "remote/device_cpu/nvml.h"

#define MEMORY_MIN ((size_t)64 << 20)

/* Reads the first line of a small file; an empty string where there is none. */
static void
read_line(const char *path, char *line, size_t size)
{
	FILE *file = fopen(path, "re");

	line[0] = 0;
	if (!file)
		return;
	if (!fgets(line, (int)size, file))
		line[0] = 0;
	line[strcspn(line, "\n")] = 0;
	fclose(file);
}

void
genie_cpu_identity_name(char *name, size_t size)
{
	int threads = ptx_threads();

	snprintf(name, size, "Genie CPU device (%d core%s)", threads, threads == 1 ? "" : "s");
}

/* FNV-1a: an identifier needs no more. */
static uint64_t
hash(const char *text, uint64_t seed)
{
	uint64_t value = seed;

	for (; *text; text++)
		value = (value ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
	return value;
}

int
genie_cpu_identity_count(void)
{
	const char *text = getenv("GENIE_CPU_DEVICES");
	char *end;
	long count;

	if (!text || !*text)
		return 1;
	count = strtol(text, &end, 10);
	if (!*end && count >= 1 && count <= GENIE_CPU_DEVICES_MAX)
		return (int)count;
	genie_warn("GENIE_CPU_DEVICES \"%s\" is not a number from 1 to %d: ignored", text,
		   GENIE_CPU_DEVICES_MAX);
	return 1;
}

void
genie_cpu_identity_uuid(int device, uint8_t uuid[16])
{
	char machine[256], text[32] = "genie cpu device";
	uint64_t words[2];

	read_line("/etc/machine-id", machine, sizeof(machine));
	if (!machine[0] && gethostname(machine, sizeof(machine) - 1) < 0)
		machine[0] = 0;
	words[0] = hash(machine, UINT64_C(0xcbf29ce484222325));
	if (device)
		snprintf(text, sizeof(text), "genie cpu device %d", device);
	words[1] = hash(text, words[0]);
	memcpy(uuid, words, sizeof(words));
	uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x80); /* version 8: made up */
	uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
}

/* What this process may use: the machine's memory, or its control group's. */
static size_t
machine_memory(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
	size_t memory = pages > 0 && page > 0 ? (size_t)pages * (size_t)page : (size_t)4 << 30;
	char line[64];
	uint64_t limit;

	read_line("/sys/fs/cgroup/memory.max", line, sizeof(line));
	if (line[0] && genie_size_parse(line, &limit) && limit < memory)
		memory = limit;
	return memory;
}

size_t
genie_cpu_identity_memory(int count)
{
	const char *text = getenv("GENIE_CPU_MEMORY");
	size_t memory = machine_memory() / 2 / (size_t)count;
	uint64_t wanted;

	if (text && *text) {
		if (genie_size_parse(text, &wanted) && wanted >= MEMORY_MIN)
			memory = wanted;
		else
			genie_warn("GENIE_CPU_MEMORY \"%s\" is not a size of at least 64M: "
				   "ignored",
				   text);
	}
	if (memory < MEMORY_MIN)
		memory = MEMORY_MIN;
	return memory & ~(GENIE_CPU_GRANULARITY - 1);
}

int
genie_cpu_identity_clock_khz(void)
{
	char line[64];
	long khz;

	read_line("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", line, sizeof(line));
	khz = strtol(line, NULL, 10);
	return khz > 0 && khz < 10000000 ? (int)khz : 2000000;
}

/* ---- for NVML ---- */

static void
nvml_memory(int dev, size_t *total, size_t *used)
{
	pthread_mutex_lock(&genie_cpu.lock);
	*total = genie_cpu.total;
	*used = genie_cpu.parts[dev].used;
	pthread_mutex_unlock(&genie_cpu.lock);
}

static uint64_t
nvml_busy(int dev)
{
	return __atomic_load_n(&genie_cpu.parts[dev].busy, __ATOMIC_RELAXED);
}

static bool
nvml_temperature(int *degrees)
{
	char line[32];

	read_line("/sys/class/thermal/thermal_zone0/temp", line, sizeof(line));
	*degrees = (int)(strtol(line, NULL, 10) / 1000);
	return line[0] != 0;
}

void
genie_cpu_fill_nvml(struct genie_nvml *nvml)
{
	static struct genie_soft_nvml device = {
		.name = genie_cpu_identity_name,
		.uuid = genie_cpu_identity_uuid,
		.memory = nvml_memory,
		.attribute = genie_cpu_attribute,
		.busy = nvml_busy,
		.temperature = nvml_temperature,
		.architecture = NVML_DEVICE_ARCH_UNKNOWN,
		.brand = NVML_BRAND_UNKNOWN,
	};

	device.count = genie_cpu.count;
	genie_soft_nvml_fill(nvml, &device);
}
