#include "transport/helper.h"

#include <signal.h>

int
genie_helper_start(pthread_t *ret_thread, const char *name, size_t stack, void *(*fn)(void *),
		   void *data)
{
	sigset_t all, old;
	pthread_attr_t attr;
	int ret;

	pthread_attr_init(&attr);
	if (stack)
		pthread_attr_setstacksize(&attr, stack);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = pthread_create(ret_thread, &attr, fn, data);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (!ret)
		pthread_setname_np(*ret_thread, name);
	return -ret;
}
