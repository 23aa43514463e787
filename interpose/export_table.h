/*
 * The tables of cuGetExportTable: an interface between the vendor's driver and the vendor's
 * libraries that the public headers do not describe. docs/interoperability.md says which entries
 * are answered, why, and from which experiment or public project each fact comes. What is not
 * listed there is refused and logged, never guessed.
 */
#ifndef GENIE_INTERPOSE_EXPORT_TABLE_H
#define GENIE_INTERPOSE_EXPORT_TABLE_H

#include "interpose/client.h"

/* Context-local storage: values that libraries keep by context and key (cls.c). @ctx NULL is the
 * current context. */
typedef void (*genie_cls_destroy_fn)(CUcontext ctx, void *key, void *value);
CUresult genie_cls_put(CUcontext ctx, void *key, void *value, genie_cls_destroy_fn destroy);
CUresult genie_cls_delete(CUcontext ctx, void *key);
CUresult genie_cls_get(void **value, CUcontext ctx, void *key);

#endif
