/* SPDX-License-Identifier: MIT */
/* soft_object.c - files in memory, for shared mappings of the software MMU */
#include "port/soft/soft_priv.h"

#include <stdlib.h>

struct soft_object *soft_object_of(struct soft_port *s, int fd)
{
	if (fd < FIRST_FD || fd >= FIRST_FD + MAX_OBJECTS || !s->objects[fd - FIRST_FD].used)
		return NULL;
	return &s->objects[fd - FIRST_FD];
}

int soft_object_create(struct port *p, uint64_t size)
{
	struct soft_port *s = soft(p);
	int fd = -1;

	pthread_mutex_lock(&s->lock);
	for (int i = 0; i < MAX_OBJECTS && fd < 0; i++)
		if (!s->objects[i].used) {
			s->objects[i] = (struct soft_object){ .used = true };
			fd = FIRST_FD + i;
		}
	SF_ASSERT(fd >= 0);
	pthread_mutex_unlock(&s->lock);
	soft_object_resize(p, fd, size);
	return fd;
}

void soft_object_close(struct port *p, int fd)
{
	struct soft_port *s = soft(p);
	struct soft_region *r;

	pthread_mutex_lock(&s->lock);
	struct soft_object *obj = soft_object_of(s, fd);
	SF_MISUSE(!obj);
	RB_FOREACH(r, soft_region_tree, &s->regions)
		SF_MISUSE(r->obj == obj);
	free(obj->data);
	*obj = (struct soft_object){ 0 };
	pthread_mutex_unlock(&s->lock);
}

/* Bytes between the file's end and the end of its last page read as zeros, now and after growth. */
static void object_resize(struct soft_port *s, struct soft_object *obj, uint64_t size)
{
	uint64_t room = PAGE_ALIGN(size), kept = MIN(size, obj->size);

	spt_tlb_flush(s);
	if (!obj->data || room != obj->room) {
		obj->data = realloc(obj->data, room ? room : 1);
		SF_ASSERT(obj->data);
		obj->room = room;
	}
	memset(obj->data + kept, 0, room - kept);
	obj->size = size;
}

void soft_object_resize(struct port *p, int fd, uint64_t size)
{
	struct soft_port *s = soft(p);

	pthread_mutex_lock(&s->lock);
	SF_MISUSE(!soft_object_of(s, fd));
	object_resize(s, soft_object_of(s, fd), size);
	pthread_mutex_unlock(&s->lock);
}

uint64_t soft_object_size(struct port *p, int fd)
{
	struct soft_port *s = soft(p);

	pthread_mutex_lock(&s->lock);
	SF_MISUSE(!soft_object_of(s, fd));
	uint64_t size = soft_object_of(s, fd)->size;
	pthread_mutex_unlock(&s->lock);
	return size;
}

size_t soft_object_read(struct port *p, int fd, void *buf, size_t n, uint64_t off)
{
	struct soft_port *s = soft(p);

	pthread_mutex_lock(&s->lock);
	struct soft_object *obj = soft_object_of(s, fd);
	SF_MISUSE(!obj);
	size_t got = off >= obj->size ? 0 : MIN(n, obj->size - off);
	memcpy(buf, obj->data + (got ? off : 0), got);
	pthread_mutex_unlock(&s->lock);
	return got;
}

void soft_object_write(struct port *p, int fd, const void *buf, size_t n, uint64_t off)
{
	struct soft_port *s = soft(p);

	pthread_mutex_lock(&s->lock);
	struct soft_object *obj = soft_object_of(s, fd);
	SF_MISUSE(!obj);
	if (off + n > obj->size)
		object_resize(s, obj, off + n);
	memcpy(obj->data + off, buf, n);
	pthread_mutex_unlock(&s->lock);
}
