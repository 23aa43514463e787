/*
 * The calling thread: its current contexts, its lane, its counters.
 */
#include "interpose/client.h"

#include <stdlib.h>
#include <string.h>

#include "interpose/stats.h"

__thread struct genie_thread genie_thread_tls __attribute__((tls_model("initial-exec")));

/* Guards the list of threads and the sums of threads that ended. */
static pthread_mutex_t threads_lock = PTHREAD_MUTEX_INITIALIZER;
static struct genie_thread *threads;
static struct genie_thread_counters ended;

static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool have_key;

static void
counters_add(struct genie_thread_counters *sum, const struct genie_thread *thread)
{
	sum->calls += __atomic_load_n(&thread->calls, __ATOMIC_RELAXED);
	sum->async_calls += __atomic_load_n(&thread->async_calls, __ATOMIC_RELAXED);
	sum->launches += __atomic_load_n(&thread->launches, __ATOMIC_RELAXED);
	sum->round_trips += __atomic_load_n(&thread->round_trips, __ATOMIC_RELAXED);
}

/*
 * Runs when the thread ends. Destructors of others may call CUDA after it: then the thread is
 * registered again and this runs once more (PTHREAD_DESTRUCTOR_ITERATIONS times at most; a lane
 * that is left over after that is lost, which costs a lane and nothing else).
 */
static void
thread_end(void *data)
{
	struct genie_thread *thread = data;

	genie_stream_end_thread(thread);
	if (thread->lane && genie_client_chan())
		genie_lane_put(thread->lane);
	thread->lane = NULL;
	free(thread->reply);
	thread->reply = NULL;

	pthread_mutex_lock(&threads_lock);
	counters_add(&ended, thread);
	if (thread->prev)
		thread->prev->next = thread->next;
	else
		threads = thread->next;
	if (thread->next)
		thread->next->prev = thread->prev;
	pthread_mutex_unlock(&threads_lock);
	thread->next = thread->prev = NULL;
	thread->calls = thread->async_calls = thread->launches = thread->round_trips = 0;
	thread->registered = false;
}

static void
key_make(void)
{
	have_key = pthread_key_create(&key, thread_end) == 0;
}

void
genie_thread_register(struct genie_thread *thread)
{
	pthread_once(&key_once, key_make);
	pthread_mutex_lock(&threads_lock);
	thread->prev = NULL;
	thread->next = threads;
	if (threads)
		threads->prev = thread;
	threads = thread;
	pthread_mutex_unlock(&threads_lock);
	thread->registered = true;
	/* Without the destructor the list would keep memory of threads that are gone. */
	if (!have_key || pthread_setspecific(key, thread))
		genie_warn("no thread-specific key: statistics of threads that end may be wrong");
}

struct genie_lane *
genie_thread_lane(struct genie_thread *thread)
{
	struct genie_chan *chan = genie_client_chan();

	if (!chan)
		return NULL;
	if (__builtin_expect(!thread->lane, 0))
		thread->lane = genie_lane_get(chan);
	return thread->lane;
}

void
genie_thread_counters(struct genie_thread_counters *ret_sum)
{
	pthread_mutex_lock(&threads_lock);
	*ret_sum = ended;
	for (const struct genie_thread *thread = threads; thread; thread = thread->next)
		counters_add(ret_sum, thread);
	pthread_mutex_unlock(&threads_lock);
}

void
genie_thread_fork_child(void)
{
	struct genie_thread *self = &genie_thread_tls;

	/* The only thread here is the one that called fork(); the lane is the parent's. */
	pthread_mutex_init(&threads_lock, NULL);
	ended = (struct genie_thread_counters){0};
	self->lane = NULL;
	self->next = self->prev = NULL;
	self->calls = self->async_calls = self->launches = self->round_trips = 0;
	memset(self->per_thread, 0, sizeof(self->per_thread));
	self->ctx = NULL;
	self->depth = 0;
	threads = self->registered ? self : NULL;
}
