#include "remote/ledger.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#define ENTRIES 4352u /* as many clients as genied takes, and workers that end */

struct genie_ledger {
	_Atomic uint32_t high; /* entries from here on were never used */
	struct genie_ledger_entry entries[ENTRIES];
};

struct genie_ledger *
genie_ledger_create(void)
{
	void *ledger = mmap(NULL, sizeof(struct genie_ledger), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return ledger == MAP_FAILED ? NULL : ledger;
}

void
genie_ledger_destroy(struct genie_ledger *ledger)
{
	if (ledger)
		munmap(ledger, sizeof(*ledger));
}

static uint32_t
used(const struct genie_ledger *ledger)
{
	uint32_t high = atomic_load_explicit(&ledger->high, memory_order_acquire);

	return high < ENTRIES ? high : ENTRIES; /* others write it, too */
}

struct genie_ledger_entry *
genie_ledger_join(struct genie_ledger *ledger, pid_t pid)
{
	for (uint32_t i = 0; ledger && i < ENTRIES; i++) {
		struct genie_ledger_entry *entry = &ledger->entries[i];
		uint32_t high = i;
		int32_t nobody = 0;

		if (!atomic_compare_exchange_strong(&entry->pid, &nobody, (int32_t)pid))
			continue;
		memset(entry->credit, 0, sizeof(entry->credit));
		memset(entry->mapped, 0, sizeof(entry->mapped));
		while (high <= i && !atomic_compare_exchange_weak(&ledger->high, &high, i + 1))
			;
		return entry;
	}
	return NULL;
}

void
genie_ledger_leave(struct genie_ledger *ledger, pid_t pid)
{
	for (uint32_t i = 0; ledger && i < used(ledger); i++) {
		struct genie_ledger_entry *entry = &ledger->entries[i];

		if (atomic_load(&entry->pid) != (int32_t)pid)
			continue;
		memset(entry->credit, 0, sizeof(entry->credit));
		memset(entry->mapped, 0, sizeof(entry->mapped));
		/* pairs with the exchange in genie_ledger_join() */
		atomic_store(&entry->pid, 0);
	}
}

static uint64_t
promised(uint64_t credit, uint64_t mapped)
{
	return credit > mapped ? credit - mapped : 0;
}

uint64_t
genie_ledger_promised(const struct genie_ledger_entry *entry, int device)
{
	return promised(__atomic_load_n(&entry->credit[device], __ATOMIC_SEQ_CST),
			__atomic_load_n(&entry->mapped[device], __ATOMIC_SEQ_CST));
}

void
genie_ledger_others(const struct genie_ledger *ledger, const struct genie_ledger_entry *self,
		    int device, uint64_t *ret_promised, uint64_t *ret_mapped)
{
	uint64_t promises = 0, mapped = 0;

	for (uint32_t i = 0; ledger && i < used(ledger); i++) {
		const struct genie_ledger_entry *entry = &ledger->entries[i];

		if (entry == self || !atomic_load(&entry->pid))
			continue;
		/* Sums that wrap are a worker's nonsense, and at worst a refusal. */
		promises += genie_ledger_promised(entry, device);
		mapped += __atomic_load_n(&entry->mapped[device], __ATOMIC_SEQ_CST);
	}
	*ret_promised = promises;
	*ret_mapped = mapped;
}
