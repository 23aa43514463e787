/*
 * From an entry point to the lane and back: entry checks, encoding, waiting for answers, errors.
 */
#include "interpose/client.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/tables.h"
#include "interpose/cache.h"
#include "interpose/sample.h"
#include "interpose/stats.h"
#include "interpose/watch.h"
#include "wire/codec.h"

/* ---- entering ---- */

CUresult
genie_enter_slow(enum genie_op op, bool early)
{
	int sticky = atomic_load_explicit(&genie_client.sticky, memory_order_relaxed);

	genie_settings();
	if (genie_client.watched)
		genie_watch_call(op);
	if (early)
		return CUDA_SUCCESS;
	if (genie_client.forked ||
	    atomic_load_explicit(&genie_client.init_status, memory_order_acquire) != CUDA_SUCCESS)
		return CUDA_ERROR_NOT_INITIALIZED;
	if (genie_chan_dead(genie_client_chan()))
		return genie_chan_failed(-ECONNRESET);
	return (CUresult)sticky;
}

/* genie_enter() said @status: of all it may say, sticky errors are the context's only. */
CUresult
genie_enter_steady_slow(CUresult status)
{
	int sticky = atomic_load_explicit(&genie_client.sticky, memory_order_relaxed);

	if (sticky == CUDA_SUCCESS || (int)status != sticky || genie_client.forked ||
	    genie_chan_dead(genie_client_chan()))
		return status;
	return CUDA_SUCCESS;
}

CUresult
genie_unsupported(const char *name, void *caller)
{
	const char *reason = NULL;
	Dl_info info = {0};

	genie_count(&genie_thread_self()->calls);
	if (!genie_stats_first_unsupported(name))
		return CUDA_ERROR_NOT_SUPPORTED;
	for (int op = 0; op < GENIE_OP_MAX; op++)
		if (genie_api_entries[op].name && !strcmp(genie_api_entries[op].name, name) &&
		    genie_api_entries[op].reason)
			reason = genie_api_entries[op].reason;
	dladdr(caller, &info);
	/* A name without a row is one of ours: a part of a call that is otherwise supported. */
	if (reason)
		genie_warn("%s is not supported by genie: %s (called from %s)", name, reason,
			   info.dli_fname ? info.dli_fname : "unknown code");
	else
		genie_warn("%s: not supported by genie", name);
	return CUDA_ERROR_NOT_SUPPORTED;
}

/* ---- errors ---- */

CUresult
genie_chan_failed(int error)
{
	/* The channel told the user why; once is enough. */
	if (!atomic_exchange_explicit(&genie_client.announced_death, 1, memory_order_relaxed))
		genie_debug("the session is lost (%s): every CUDA call fails from now on",
			    strerror(error ? -error : ECONNRESET));
	return CUDA_ERROR_DEVICE_UNAVAILABLE;
}

CUresult
genie_pending_error(void)
{
	return genie_pending_error_before(UINT64_MAX);
}

CUresult
genie_pending_error_before(uint64_t ticket)
{
	struct genie_chan *chan = genie_client_chan();
	struct genie_async_error error;
	uint64_t reported;
	CUresult status;

	if (!chan)
		return CUDA_ERROR_NOT_INITIALIZED;
	error = genie_chan_error(chan);
	if (__builtin_expect(!error.ticket || error.ticket >= ticket, 1))
		return CUDA_SUCCESS;
	status = genie_status_error(error.status);
	if (error.sticky) {
		genie_output_catch_up(); /* what an assertion said, before its error */
		atomic_store_explicit(&genie_client.sticky, status, memory_order_relaxed);
		atomic_store_explicit(&genie_client.gate, status, memory_order_relaxed);
		return status;
	}
	/* Exactly one thread tells the program; the others see that its ticket is taken. */
	reported = atomic_load_explicit(&genie_client.reported, memory_order_relaxed);
	while (reported < error.ticket)
		if (atomic_compare_exchange_weak_explicit(&genie_client.reported, &reported,
							  error.ticket, memory_order_relaxed,
							  memory_order_relaxed)) {
			genie_debug("command %llu (%s) failed: %d",
				    (unsigned long long)error.ticket,
				    error.op < GENIE_OP_MAX && genie_api_entries[error.op].name
					    ? genie_api_entries[error.op].name
					    : "?",
				    error.status);
			genie_chan_error_clear(chan, error.ticket);
			return status;
		}
	return CUDA_SUCCESS;
}

CUresult
genie_wait(uint32_t slot, uint64_t ticket)
{
	struct genie_chan *chan = genie_client_chan();
	CUresult status;
	int error;

	if (!ticket)
		return CUDA_SUCCESS;
	if (!chan)
		return CUDA_ERROR_NOT_INITIALIZED;
	if (genie_chan_progress(chan, slot) >= ticket)
		return CUDA_SUCCESS;
	genie_count_round_trip(genie_thread_self());
	error = genie_chan_wait(chan, slot, ticket);
	if (!error)
		return CUDA_SUCCESS;
	status = genie_chan_dead(chan) ? CUDA_SUCCESS : genie_pending_error();
	return status == CUDA_SUCCESS ? genie_chan_failed(error) : status;
}

/* ---- submitting ---- */

/* Waits for the answer to @ticket and stores it where @args points. @op may be of a call that
 * has no answer but its status. */
static CUresult
reply_receive(struct genie_thread *thread, uint64_t ticket, enum genie_op op, void *args,
	      const struct genie_query *query)
{
	struct genie_reader reader;
	int32_t status = 0;
	size_t len = 0;
	char why[160];
	int error;

	if (!thread->reply)
		thread->reply = malloc(GENIE_REPLY_MAX);
	if (!thread->reply)
		return CUDA_ERROR_OUT_OF_MEMORY;
	genie_count_round_trip(thread);
	error = genie_lane_wait_reply(thread->lane, ticket, &status, thread->reply, GENIE_REPLY_MAX,
				      &len);
	if (error)
		return genie_chan_failed(error);
	if (len > GENIE_REPLY_MAX)
		return genie_chan_failed(-EPROTO);
	if (args && genie_op_descs[op].sync) {
		genie_reader_init(&reader, thread->reply, len);
		genie_decode_reply(&reader, op, args, status);
		if (reader.fatal) {
			snprintf(why, sizeof(why), "the answer to %s is malformed: %s",
				 genie_op_descs[op].name, reader.why);
			genie_chan_fail(genie_client_chan(), why);
			return genie_chan_failed(-EPROTO);
		}
		if (query && status == CUDA_SUCCESS)
			genie_query_store(query, thread->reply, len);
	}
	return genie_status(status);
}

/* @sample: NULL, or what to note times in; known when this is compiled. */
static inline __attribute__((always_inline)) CUresult
call_submit_with(enum genie_op op, void *args, const struct genie_ctx *ctx, uint16_t flags,
		 uint64_t *ret_ticket, const struct genie_query *query, struct genie_sample *sample)
{
	const struct genie_op_desc *desc = &genie_op_descs[op];
	struct genie_thread *thread = genie_thread_self();
	struct genie_lane *lane = genie_thread_lane(thread);
	struct genie_writer writer;
	uint64_t ticket;
	size_t payload, len;
	char *cmd;

	if (sample)
		sample->begin_ns = genie_sample_now();
	payload = genie_encoded_size(op, args);
	if (!lane)
		return genie_chan_failed(-ECONNRESET);
	if (payload > GENIE_PAYLOAD_MAX) {
		genie_warn("%s: arguments of more than %u bytes are not supported", desc->name,
			   GENIE_CMD_MAX);
		return CUDA_ERROR_NOT_SUPPORTED;
	}
	len = sizeof(struct genie_cmd) + payload;
	if (sample)
		sample->known_ns = genie_sample_now();
	cmd = genie_lane_begin(lane, len);
	if (!cmd)
		return genie_chan_failed(-ECONNRESET);
	if (sample)
		sample->room_ns = genie_sample_now();
	genie_writer_init(&writer, cmd + sizeof(struct genie_cmd), payload);
	genie_encode_args(&writer, op, args);
	if (desc->sync || genie_client.sync)
		flags |= GENIE_CMD_REPLY;
	ticket = genie_lane_commit(lane, cmd, (uint16_t)op, flags, genie_ctx_index(ctx), len);
	if (sample) {
		sample->commit_ns = genie_sample_now();
		genie_sample_add(sample);
	}
	if (ret_ticket)
		*ret_ticket = ticket;
	if (!desc->sync)
		genie_count(&thread->async_calls);
	if (flags & GENIE_CMD_REPLY)
		return reply_receive(thread, ticket, op, args, query);
	return CUDA_SUCCESS;
}

static __attribute__((noinline, cold)) CUresult
call_submit_sampled(enum genie_op op, void *args, const struct genie_ctx *ctx, uint16_t flags,
		    uint64_t *ret_ticket, const struct genie_query *query)
{
	struct genie_sample sample;

	return call_submit_with(op, args, ctx, flags, ret_ticket, query, &sample);
}

static CUresult
call_submit(enum genie_op op, void *args, const struct genie_ctx *ctx, uint16_t flags,
	    uint64_t *ret_ticket, const struct genie_query *query)
{
	if (genie_sample_due())
		return call_submit_sampled(op, args, ctx, flags, ret_ticket, query);
	return call_submit_with(op, args, ctx, flags, ret_ticket, query, NULL);
}

/* The answer to equal arguments never changes: asks the worker once. */
static CUresult
call_query(enum genie_op op, void *args, const struct genie_ctx *ctx, uint64_t *ret_ticket)
{
	struct genie_query query;
	struct genie_reader reader;
	const void *reply;
	size_t len;

	if (!genie_query_init(&query, op, args, genie_ctx_index(ctx)))
		return call_submit(op, args, ctx, 0, ret_ticket, NULL);
	reply = genie_query_find(&query, &len);
	if (!reply)
		return call_submit(op, args, ctx, 0, ret_ticket, &query);
	genie_reader_init(&reader, reply, len);
	genie_decode_reply(&reader, op, args, CUDA_SUCCESS);
	return reader.fatal ? CUDA_ERROR_UNKNOWN : CUDA_SUCCESS;
}

CUresult
genie_call_ctx(enum genie_op op, void *args, const struct genie_ctx *ctx, uint64_t *ret_ticket)
{
	if (ret_ticket)
		*ret_ticket = 0;
	if (genie_op_descs[op].query && genie_perf(GENIE_PERF_CACHE))
		return call_query(op, args, ctx, ret_ticket);
	return call_submit(op, args, ctx, 0, ret_ticket, NULL);
}

CUresult
genie_call_mark(enum genie_op op, void *args, const struct genie_ctx *ctx, uint64_t *ret_ticket)
{
	*ret_ticket = 0;
	return call_submit(op, args, ctx, GENIE_CMD_WAIT, ret_ticket, NULL);
}

CUresult
genie_call_issued(enum genie_op op, void *args, const struct genie_ctx *ctx, uint64_t *ret_ticket)
{
	*ret_ticket = 0;
	return call_submit(op, args, ctx, GENIE_CMD_REPLY, ret_ticket, NULL);
}

/* A call that makes an object cannot report what an earlier one did wrong: the program would lose
 * the object. */
static bool
call_may_report(enum genie_op op)
{
	const struct genie_op_desc *desc = &genie_op_descs[op];

	for (unsigned int i = 0; i < desc->arg_count; i++)
		if (desc->args[i].use == GENIE_USE_NEW || desc->args[i].use == GENIE_USE_RET)
			return false;
	return true;
}

CUresult
genie_call_ticket(enum genie_op op, void *args, uint64_t *ret_ticket)
{
	struct genie_chan *chan = genie_client_chan();
	uint64_t ticket = 0;
	CUresult status;

	status = genie_call_ctx(op, args, genie_ctx_current(), &ticket);
	if (ret_ticket)
		*ret_ticket = ticket;
	if (status != CUDA_SUCCESS || !chan || !genie_chan_error(chan).ticket ||
	    !call_may_report(op))
		return status;
	return genie_op_descs[op].sync ? genie_pending_error() : genie_pending_error_before(ticket);
}

CUresult
genie_call(enum genie_op op, void *args)
{
	return genie_call_ticket(op, args, NULL);
}

CUresult
genie_commit(struct genie_thread *thread, void *cmd, enum genie_op op, size_t len,
	     const struct genie_ctx *ctx, struct genie_stream *stream, uint64_t *ret_ticket)
{
	uint16_t flags = genie_client.sync ? GENIE_CMD_REPLY : 0;
	CUresult status;
	uint64_t ticket;

	ticket = genie_lane_commit(thread->lane, cmd, (uint16_t)op, flags, genie_ctx_index(ctx),
				   len);
	if (ret_ticket)
		*ret_ticket = ticket;
	if (stream)
		genie_stream_submitted(stream, ticket);
	genie_count(&thread->async_calls);
	if (__builtin_expect(flags & GENIE_CMD_REPLY, 0)) {
		status = reply_receive(thread, ticket, op, NULL, NULL);
		if (status != CUDA_SUCCESS)
			return status;
	}
	return genie_pending_error_before(ticket);
}
