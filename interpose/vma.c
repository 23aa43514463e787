#include "interpose/vma.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What is kept of a line: the rest of a long path tells nothing. */
#define LINE 192

struct reader {
	uint64_t start, end;
	int (*fn)(const struct genie_vma *vma, void *data);
	void *data;
	struct genie_vma vma; /* the one being read; end 0: none */
	bool past;            /* what follows lies behind the range */
};

static int
reader_tell(struct reader *reader)
{
	bool wanted = reader->vma.end > reader->start && reader->vma.start < reader->end;
	int ret = wanted ? reader->fn(&reader->vma, reader->data) : 0;

	reader->vma.end = 0;
	return ret;
}

/* What of @text there is room for. */
static void
keep(char *to, size_t size, const char *text)
{
	size_t len = strnlen(text, size - 1);

	memcpy(to, text, len);
	to[len] = '\0';
}

static void
take_header(struct reader *reader, const char *line)
{
	struct genie_vma vma = {0};
	unsigned long long start, end, offset, inode;
	int name = 0;

	if (sscanf(line, "%llx-%llx %4s %llx %x:%x %llu %n", &start, &end, vma.perms, &offset,
		   &vma.major, &vma.minor, &inode, &name) < 7)
		return;
	vma.start = start;
	vma.end = end;
	vma.offset = offset;
	vma.inode = inode;
	if (name != 0)
		keep(vma.name, sizeof(vma.name), line + name);
	reader->past = start >= reader->end;
	reader->vma = vma;
}

static int
take_line(struct reader *reader, const char *line)
{
	int ret;

	/* The keys of smaps begin with a capital, addresses do not. */
	if (line[0] >= 'A' && line[0] <= 'Z') {
		if (!strncmp(line, "VmFlags:", 8))
			keep(reader->vma.flags, sizeof(reader->vma.flags), line + 8);
		else if (!strncmp(line, "ProtectionKey:", 14))
			reader->vma.key = (unsigned int)strtoul(line + 14, NULL, 10);
		return 0;
	}
	ret = reader_tell(reader);
	if (ret == 0)
		take_header(reader, line);
	return ret;
}

static int
read_lines(struct reader *reader, int fd)
{
	char buffer[4096], line[LINE];
	size_t len = 0;
	int ret = 0;

	while (ret == 0 && !reader->past) {
		ssize_t n = read(fd, buffer, sizeof(buffer));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : reader_tell(reader);
		for (ssize_t i = 0; i < n && ret == 0 && !reader->past; i++) {
			if (buffer[i] != '\n') {
				if (len < sizeof(line) - 1)
					line[len++] = buffer[i];
				continue;
			}
			line[len] = '\0';
			len = 0;
			ret = take_line(reader, line);
		}
	}
	return ret;
}

int
genie_vma_each(uint64_t start, uint64_t end, bool flags,
	       int (*fn)(const struct genie_vma *vma, void *data), void *data)
{
	struct reader reader = {.start = start, .end = end, .fn = fn, .data = data};
	int saved_errno = errno;
	int fd, ret;

	/* Not /proc/self: that is empty when the first thread has ended. */
	fd = open(flags ? "/proc/thread-self/smaps" : "/proc/thread-self/maps",
		  O_RDONLY | O_CLOEXEC);
	ret = fd < 0 ? -errno : read_lines(&reader, fd);
	if (fd >= 0)
		close(fd);
	errno = saved_errno;
	return ret;
}

bool
genie_vma_has(const struct genie_vma *vma, const char *flag)
{
	for (const char *at = strstr(vma->flags, flag); at != NULL; at = strstr(at + 1, flag))
		if (at > vma->flags && at[-1] == ' ' && (at[2] == ' ' || at[2] == '\0'))
			return true;
	return false;
}
