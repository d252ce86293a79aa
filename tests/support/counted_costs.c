/* Counts the blocks that Python allocates for objects and buffers, in either variant of the core. For one thread. */

#include <Python.h>

static unsigned long long blocks;
static PyMemAllocatorEx replaced[2];
static const PyMemAllocatorDomain domains[2] = {PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ};

static void *counted_malloc(void *below, size_t size)
{
    PyMemAllocatorEx *allocator = below;
    blocks++;
    return allocator->malloc(allocator->ctx, size);
}

static void *counted_calloc(void *below, size_t count, size_t size)
{
    PyMemAllocatorEx *allocator = below;
    blocks++;
    return allocator->calloc(allocator->ctx, count, size);
}

static void *counted_realloc(void *below, void *block, size_t size)
{
    PyMemAllocatorEx *allocator = below;
    blocks++;
    return allocator->realloc(allocator->ctx, block, size);
}

static void counted_free(void *below, void *block)
{
    PyMemAllocatorEx *allocator = below;
    allocator->free(allocator->ctx, block);
}

void start_counting(void)
{
    blocks = 0;
    for (int index = 0; index < 2; index++) {
        PyMemAllocatorEx counted = {&replaced[index], counted_malloc, counted_calloc, counted_realloc, counted_free};
        PyMem_GetAllocator(domains[index], &replaced[index]);
        PyMem_SetAllocator(domains[index], &counted);
    }
}

unsigned long long stop_counting(void)
{
    for (int index = 0; index < 2; index++)
        PyMem_SetAllocator(domains[index], &replaced[index]);
    return blocks;
}
