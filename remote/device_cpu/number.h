/* Elements of matrices: the types of enum genie_type to and from what the machine calculates in. */
#ifndef GENIE_REMOTE_DEVICE_CPU_NUMBER_H
#define GENIE_REMOTE_DEVICE_CPU_NUMBER_H

#include <complex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/native.h"

/* Bytes; 0: no such type. */
size_t genie_number_size(unsigned int type);
bool genie_number_is_complex(unsigned int type);

float genie_number_from_half(uint16_t bits);
float genie_number_from_bfloat(uint16_t bits);
/* Rounded to nearest, ties to even. */
uint16_t genie_number_to_half(float value);
uint16_t genie_number_to_bfloat(float value);

/*
 * @count elements, @stride elements apart in @memory; real types, and complex ones for the _c64
 * functions. To an integer type: rounded to nearest, saturated.
 */
void genie_number_load_f32(unsigned int type, const void *memory, size_t stride, size_t count,
			   float *ret);
void genie_number_load_f64(unsigned int type, const void *memory, size_t stride, size_t count,
			   double *ret);
void genie_number_load_c64(unsigned int type, const void *memory, size_t stride, size_t count,
			   double _Complex *ret);
void genie_number_store_f32(unsigned int type, void *memory, size_t stride, size_t count,
			    const float *values);
void genie_number_store_f64(unsigned int type, void *memory, size_t stride, size_t count,
			    const double *values);
void genie_number_store_c64(unsigned int type, void *memory, size_t stride, size_t count,
			    const double _Complex *values);

#endif
