#include "transport/helper.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

struct helper {
	void *(*fn)(void *);
	void *data;
};

static _Atomic unsigned int count;

static void *
helper_main(void *arg)
{
	struct helper helper = *(struct helper *)arg;
	void *ret;

	free(arg);
	ret = helper.fn(helper.data);
	atomic_fetch_sub_explicit(&count, 1, memory_order_relaxed);
	return ret;
}

int
genie_helper_start(pthread_t *ret_thread, const char *name, size_t stack, void *(*fn)(void *),
		   void *data)
{
	struct helper *helper = malloc(sizeof(*helper));
	sigset_t all, old;
	pthread_attr_t attr;
	int ret;

	if (helper == NULL)
		return -ENOMEM;
	*helper = (struct helper){fn, data};
	pthread_attr_init(&attr);
	if (stack)
		pthread_attr_setstacksize(&attr, stack);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	atomic_fetch_add_explicit(&count, 1, memory_order_relaxed);
	ret = pthread_create(ret_thread, &attr, helper_main, helper);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (!ret) {
		pthread_setname_np(*ret_thread, name);
	} else {
		atomic_fetch_sub_explicit(&count, 1, memory_order_relaxed);
		free(helper);
	}
	return -ret;
}

unsigned int
genie_helper_count(void)
{
	return atomic_load_explicit(&count, memory_order_relaxed);
}

void
genie_helper_fork_child(void)
{
	atomic_store_explicit(&count, 0, memory_order_relaxed);
}
