#include "remote/stage.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/log.h"
#include "remote/complete.h"

/* An honest client has one answer under way a lane. */
#define BUFFERS GENIE_LANES_MAX
/* Host functions under way at a time. */
#define FLAGS 4096

#define SIZE ((size_t)BUFFERS * GENIE_REPLY_MAX + FLAGS * sizeof(uint32_t))

struct genie_reply_stage {
	char *base;
	bool registered;
	/* guarded by the completer's lock */
	void *free[BUFFERS];
	int free_count;
	_Atomic uint32_t *flags[FLAGS];
	int flag_count;
};

int
genie_stage_init(struct genie_session *session)
{
	struct genie_reply_stage *stage = calloc(1, sizeof(*stage));
	_Atomic uint32_t *flags;

	if (!stage)
		return -ENOMEM;
	stage->base = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (stage->base == MAP_FAILED) {
		free(stage);
		return -ENOMEM;
	}
	/* The last one given back is the first one used again: it is in the cache. */
	for (int i = BUFFERS - 1; i >= 0; i--)
		stage->free[stage->free_count++] = stage->base + (size_t)i * GENIE_REPLY_MAX;
	flags = (_Atomic uint32_t *)(stage->base + (size_t)BUFFERS * GENIE_REPLY_MAX);
	for (int i = FLAGS - 1; i >= 0; i--)
		stage->flags[stage->flag_count++] = &flags[i];
	session->stage = stage;
	return 0;
}

void
genie_stage_fini(struct genie_session *session)
{
	if (!session->stage)
		return;
	munmap(session->stage->base, SIZE);
	free(session->stage);
	session->stage = NULL;
}

static void
host_register(struct genie_session *session, void *base, size_t size, const char *what)
{
	CUresult status;

	if (!size)
		return;
	status = session->drv->cuMemHostRegister_v2(base, size, CU_MEMHOSTREGISTER_PORTABLE);
	if (status != CUDA_SUCCESS)
		genie_warn("%s cannot be registered with the device (%d): copies will be slower",
			   what, (int)status);
}

void
genie_stage_register(struct genie_session *session)
{
	struct genie_reply_stage *stage = session->stage;
	void *base = NULL;
	size_t size = 0;

	if (stage->registered)
		return;
	stage->registered = true;
	host_register(session, stage->base, SIZE, "reply memory");
	genie_port_staging(session->port, &base, &size);
	host_register(session, base, size, "staging memory");
}

static bool
any_free(void *data)
{
	const struct genie_reply_stage *stage = data;

	return stage->free_count > 0;
}

void *
genie_stage_get(struct genie_session *session)
{
	struct genie_reply_stage *stage = session->stage;
	void *buffer = NULL;

	/* Only this thread takes, so what was free once stays free until it is taken here. */
	genie_complete_wait(session, any_free, stage);
	genie_completer_lock(session);
	buffer = stage->free[--stage->free_count];
	genie_completer_unlock(session);
	return buffer;
}

void
genie_stage_put(struct genie_session *session, void *buffer)
{
	genie_completer_lock(session);
	session->stage->free[session->stage->free_count++] = buffer;
	genie_completer_unlock(session);
}

_Atomic uint32_t *
genie_stage_flag_get(struct genie_session *session)
{
	struct genie_reply_stage *stage = session->stage;
	_Atomic uint32_t *flag = NULL;

	genie_completer_lock(session);
	if (stage->flag_count)
		flag = stage->flags[--stage->flag_count];
	genie_completer_unlock(session);
	if (flag)
		atomic_store_explicit(flag, 0, memory_order_relaxed);
	return flag;
}

void
genie_stage_flag_put(struct genie_session *session, _Atomic uint32_t *flag)
{
	genie_completer_lock(session);
	session->stage->flags[session->stage->flag_count++] = flag;
	genie_completer_unlock(session);
}
