/* See criterion.h. */
#ifndef GENIE_TESTS_PLAIN_PARAMETERIZED_H
#define GENIE_TESTS_PLAIN_PARAMETERIZED_H

#include <criterion/criterion.h>

#define ParameterizedTestParameters(suite_, name_)                                                 \
	static struct plain_params suite_##_##name_##_params(void)

#define cr_make_param_array(type, array, count_)                                                   \
	((struct plain_params){(array), sizeof(type), (count_)})

#define ParameterizedTest(param_, suite_, name_, ...)                                              \
	static void suite_##_##name_##_impl(param_);                                               \
	static void suite_##_##name_##_call(void *param)                                           \
	{                                                                                          \
		suite_##_##name_##_impl(param);                                                    \
	}                                                                                          \
	PLAIN_REGISTER(suite_, name_, .with = suite_##_##name_##_call,                             \
		       .params = suite_##_##name_##_params, .options = {__VA_ARGS__})              \
	static void suite_##_##name_##_impl(param_)

#endif
