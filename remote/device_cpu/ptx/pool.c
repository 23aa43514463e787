#include "remote/device_cpu/ptx/pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"

enum { MAX_THREADS = 1024 };

struct job {
	void (*work)(void *data, uint32_t worker);
	void *data;
	int wanted;  /* threads that may still join */
	int working; /* that have joined and not left */
	uint32_t next_worker;
	struct job *next;
	pthread_cond_t done;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int nthreads = 1;
/* Guards the list of jobs and what is in them. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static struct job *jobs;

static int
count_processors(void)
{
	const char *text = getenv("GENIE_CPU_THREADS");
	long n = text ? strtol(text, NULL, 10) : 0;
	cpu_set_t set;

	if (n <= 0 && !sched_getaffinity(0, sizeof(set), &set))
		n = CPU_COUNT(&set);
	if (n <= 0)
		n = sysconf(_SC_NPROCESSORS_ONLN);
	return n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : (int)n;
}

static struct job *
find_job(void)
{
	for (struct job *job = jobs; job; job = job->next)
		if (job->wanted > 0)
			return job;
	return NULL;
}

static void *
thread_main(void *unused)
{
	(void)unused;
	pthread_mutex_lock(&lock);
	for (;;) {
		struct job *job = find_job();

		if (!job) {
			pthread_cond_wait(&wake, &lock);
			continue;
		}
		uint32_t worker = job->next_worker++;

		job->wanted--;
		job->working++;
		pthread_mutex_unlock(&lock);
		job->work(job->data, worker);
		pthread_mutex_lock(&lock);
		if (--job->working == 0)
			pthread_cond_signal(&job->done);
	}
	return NULL;
}

static void
start_threads(void)
{
	sigset_t all, old;
	int wanted = count_processors();

	/* Signals of the process are handled elsewhere. A fault that is blocked ends the process.
	 */
	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	sigdelset(&all, SIGTRAP);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (nthreads = 1; nthreads < wanted; nthreads++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, thread_main, NULL)) {
			genie_warn("only %d of %d threads for the CPU device: %m", nthreads,
				   wanted);
			break;
		}
		pthread_detach(thread);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

int
ptx_pool_threads(void)
{
	pthread_once(&once, start_threads);
	return nthreads;
}

static void
remove_job(struct job *job)
{
	struct job **at = &jobs;

	while (*at != job)
		at = &(*at)->next;
	*at = job->next;
}

void
ptx_pool_run(int threads, void (*work)(void *data, uint32_t worker), void *data)
{
	struct job job = {
		.work = work,
		.data = data,
		.wanted = threads - 1,
		.next_worker = 1,
		.done = PTHREAD_COND_INITIALIZER,
	};

	pthread_once(&once, start_threads);
	if (threads > nthreads)
		job.wanted = nthreads - 1;
	if (job.wanted <= 0) {
		work(data, 0);
		return;
	}
	pthread_mutex_lock(&lock);
	job.next = jobs;
	jobs = &job;
	if (job.wanted == 1)
		pthread_cond_signal(&wake);
	else
		pthread_cond_broadcast(&wake);
	pthread_mutex_unlock(&lock);

	work(data, 0);

	pthread_mutex_lock(&lock);
	remove_job(&job);
	while (job.working)
		pthread_cond_wait(&job.done, &lock);
	pthread_mutex_unlock(&lock);
	pthread_cond_destroy(&job.done);
}
