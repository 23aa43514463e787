#include "interpose/watch.h"

#include <stdlib.h>
#include <string.h>

#include "api/tables.h"
#include "interpose/stats.h"

#define RANGES_MAX 4096 /* more are not kept */

struct by_name {
	uint64_t calls, round_trips;
};

/* What was counted so far. */
struct totals {
	struct genie_thread_counters sum;
	uint64_t bytes_sent, bytes_received;
	struct by_name *names; /* GENIE_OP_MAX of them, or NULL */
};

struct range {
	struct range *next;
	struct totals totals; /* its names are its own */
};

/* Written by all threads, each count by itself. */
static struct {
	_Atomic uint64_t calls, round_trips;
} counts[GENIE_OP_MAX];
static bool with_names;

/* Guards what follows. */
static pthread_mutex_t ranges_lock = PTHREAD_MUTEX_INITIALIZER;
static struct range *first_range, **last_range = &first_range;
static unsigned int range_count;
static struct totals begin;
static bool begun;

void
genie_watch_init(void)
{
	const char *names = getenv("GENIE_STATS_CALLS");

	with_names = genie_stats_wanted() && names && *names && strcmp(names, "0") != 0;
	genie_client.watched = with_names || genie_log_level >= GENIE_LOG_TRACE;
}

/* The child begins at zero. Memory of ranges is not freed: who held the lock is not known. */
void
genie_watch_fork_child(void)
{
	pthread_mutex_init(&ranges_lock, NULL);
	memset(counts, 0, sizeof(counts));
	first_range = NULL;
	last_range = &first_range;
	range_count = 0;
	begin = (struct totals){0};
	begun = false;
}

void
genie_watch_call(enum genie_op op)
{
	if (op == GENIE_OP_genieNop)
		return;
	genie_thread_self()->op = op;
	atomic_fetch_add_explicit(&counts[op].calls, 1, memory_order_relaxed);
	genie_trace("%s", genie_api_entries[op].name);
}

void
genie_watch_round_trip(enum genie_op op)
{
	atomic_fetch_add_explicit(&counts[op].round_trips, 1, memory_order_relaxed);
	genie_trace("%s waits for the server", genie_api_entries[op].name);
}

/* ---- ranges ---- */

/* Without names when there is no memory for them. */
static void
totals_get(struct totals *ret)
{
	struct genie_chan *chan = genie_client_chan();
	struct genie_chan_stats stats = {0};

	*ret = (struct totals){0};
	genie_thread_counters(&ret->sum);
	if (chan)
		genie_chan_stats(chan, &stats);
	ret->bytes_sent = stats.bytes_sent;
	ret->bytes_received = stats.bytes_received;
	ret->names = with_names ? calloc(GENIE_OP_MAX, sizeof(*ret->names)) : NULL;
	for (int op = 0; ret->names && op < GENIE_OP_MAX; op++)
		ret->names[op] = (struct by_name){
			.calls = atomic_load_explicit(&counts[op].calls, memory_order_relaxed),
			.round_trips =
				atomic_load_explicit(&counts[op].round_trips, memory_order_relaxed),
		};
}

static void
totals_subtract(struct totals *end, const struct totals *start)
{
	end->sum.calls -= start->sum.calls;
	end->sum.async_calls -= start->sum.async_calls;
	end->sum.launches -= start->sum.launches;
	end->sum.round_trips -= start->sum.round_trips;
	end->bytes_sent -= start->bytes_sent;
	end->bytes_received -= start->bytes_received;
	for (int op = 0; end->names && start->names && op < GENIE_OP_MAX; op++) {
		end->names[op].calls -= start->names[op].calls;
		end->names[op].round_trips -= start->names[op].round_trips;
	}
}

void
genie_watch_begin(void)
{
	if (!genie_stats_wanted())
		return;
	pthread_mutex_lock(&ranges_lock);
	free(begin.names);
	totals_get(&begin);
	begun = true;
	pthread_mutex_unlock(&ranges_lock);
}

void
genie_watch_end(void)
{
	struct range *range;

	if (!genie_stats_wanted())
		return;
	pthread_mutex_lock(&ranges_lock);
	range = begun && range_count < RANGES_MAX ? calloc(1, sizeof(*range)) : NULL;
	if (range) {
		totals_get(&range->totals);
		totals_subtract(&range->totals, &begin);
		/* The call that ends it is no part of it. */
		range->totals.sum.calls--;
		if (range->totals.names)
			range->totals.names[GENIE_OP_cuProfilerStop].calls--;
		*last_range = range;
		last_range = &range->next;
		range_count++;
	}
	free(begin.names);
	begin.names = NULL;
	begun = false;
	pthread_mutex_unlock(&ranges_lock);
}

/* ---- writing ---- */

static void
names_write(FILE *file, const struct by_name *names, const char *indent)
{
	const char *comma = "";

	fprintf(file, ",\n%s\"calls_by_name\": {", indent);
	for (int op = 0; op < GENIE_OP_MAX; op++) {
		if (!names[op].calls && !names[op].round_trips)
			continue;
		fprintf(file, "%s\n%s  \"%s\": {\"calls\": %llu, \"round_trips\": %llu}", comma,
			indent, genie_api_entries[op].name, (unsigned long long)names[op].calls,
			(unsigned long long)names[op].round_trips);
		comma = ",";
	}
	fprintf(file, "}");
}

static void
range_write(FILE *file, const struct totals *totals)
{
	const struct genie_thread_counters *sum = &totals->sum;

	fprintf(file, "    {\"calls\": %llu, \"async_calls\": %llu, \"launches\": %llu,",
		(unsigned long long)sum->calls, (unsigned long long)sum->async_calls,
		(unsigned long long)sum->launches);
	fprintf(file, " \"round_trips\": %llu, \"bytes_sent\": %llu, \"bytes_received\": %llu",
		(unsigned long long)sum->round_trips, (unsigned long long)totals->bytes_sent,
		(unsigned long long)totals->bytes_received);
	if (totals->names)
		names_write(file, totals->names, "     ");
	fprintf(file, "}");
}

void
genie_watch_write(FILE *file)
{
	struct totals all;
	const char *comma = "";

	totals_get(&all);
	if (all.names)
		names_write(file, all.names, "  ");
	free(all.names);
	fprintf(file, ",\n  \"ranges\": [");
	pthread_mutex_lock(&ranges_lock);
	for (const struct range *range = first_range; range; range = range->next) {
		fprintf(file, "%s\n", comma);
		range_write(file, &range->totals);
		comma = ",";
	}
	pthread_mutex_unlock(&ranges_lock);
	fprintf(file, "]");
}
