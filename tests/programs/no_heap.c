/* Preloaded into headroomd by tests/programs/run: ends it with a message when it asks for heap after the file
 * that NO_HEAP_ARMED names has appeared. Only the process that was started, not the companions that it forks:
 * those may. An allocation that was made is not found afterwards, hence at the moment. */
#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

/* Stand before the C library's; its headers need not have been included for them. */
void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *p, size_t size);
void *memalign(size_t alignment, size_t size);
void *aligned_alloc(size_t alignment, size_t size);

static pid_t first;
static const char *armed;

__attribute__((constructor)) static void begin(void)
{
    first = getpid();
    armed = getenv("NO_HEAP_ARMED");
}

static void check(const char *what, size_t size, void *caller)
{
    static bool telling;
    Dl_info info = {0};
    char text[256];
    int n;

    if (!armed || telling || getpid() != first || access(armed, F_OK) < 0)
        return;
    telling = true;
    (void)dladdr(caller, &info);
    n = snprintf(text, sizeof(text), "no_heap: %s of %zu bytes from %s+0x%zx (%s)\n", what, size,
                 info.dli_fname ? info.dli_fname : "?",
                 (size_t)((uintptr_t)caller - (uintptr_t)info.dli_fbase),
                 info.dli_sname ? info.dli_sname : "?");
    (void)!write(2, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
    abort();
}

void *malloc(size_t size)
{
    check("malloc", size, __builtin_return_address(0));
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    check("calloc", count * size, __builtin_return_address(0));
    return __libc_calloc(count, size);
}

void *realloc(void *p, size_t size)
{
    check("realloc", size, __builtin_return_address(0));
    return __libc_realloc(p, size);
}

void *memalign(size_t alignment, size_t size)
{
    check("memalign", size, __builtin_return_address(0));
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    check("aligned_alloc", size, __builtin_return_address(0));
    return __libc_memalign(alignment, size);
}
