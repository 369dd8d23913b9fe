/* The rule of this layer that no reader can see in the code: nothing here takes heap, whatever libc call is
 * used. The allocator is replaced by one that counts while it is armed. */
#include "fixture.h"

#include "kernel/cgroup.h"
#include "kernel/file.h"
#include "kernel/freezer.h"
#include "kernel/kill.h"
#include "kernel/meminfo.h"
#include "kernel/memory_events.h"
#include "kernel/memory_stat.h"
#include "kernel/oom_score.h"
#include "kernel/process.h"
#include "kernel/psi.h"
#include "kernel/swap.h"

static bool armed;
static unsigned allocations;

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
#define CAN_COUNT 1
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *p, size_t size);

void *malloc(size_t size)
{
    allocations += armed;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    allocations += armed;
    return __libc_calloc(count, size);
}

void *realloc(void *p, size_t size)
{
    allocations += armed;
    return __libc_realloc(p, size);
}
#else
#define CAN_COUNT 0
#endif

static int on_process(void *user _unused_, pid_t pid _unused_)
{
    return 0;
}

static int read_all(int root)
{
    struct hierarchy h;
    struct meminfo meminfo;
    struct memory_stat stat;
    struct memory_events events;
    struct cgroup_events cgroup_events;
    struct swap_areas swap;
    struct psi psi;
    struct process_stat process;
    struct process_memory memory;
    char own[CGROUP_PATH_MAX];
    pid_t pids[64];
    uint64_t id, current;
    bool more, frozen;
    int failed = 0, adj;

    failed += hierarchy_open(root, &h) < 0;
    _cleanup_close_ int slice = cgroup_open(&h, "workload.slice");
    _cleanup_close_ int fd = meminfo_open(root);

    failed += meminfo_pread(fd, &meminfo) < 0;
    failed += cgroup_read_id(slice, &id) < 0;
    failed += cgroup_read_own_path(root, own) < 0;
    failed += cgroup_read_events(slice, &cgroup_events) < 0;
    failed += cgroup_read_procs(h.fd, pids, ARRAY_SIZE(pids), &more) < 0;
    failed += memory_stat_read_at(slice, &stat) < 0;
    failed += memory_events_read_at(slice, "memory.events", &events) < 0;
    failed += psi_read_at(slice, "memory.pressure", &psi) < 0;
    failed += file_read_u64_at(slice, "memory.current", &current) < 0;
    failed += freezer_read(slice, &frozen) < 0;
    failed += swap_read(root, &swap) < 0;
    failed += process_read_stat(root, 1, &process) < 0;
    failed += process_read_memory(root, 1, &memory) < 0;
    failed += oom_score_read_adj(root, 1, &adj) < 0;
    failed += process_each(root, on_process, NULL) < 0;
    hierarchy_close(&h);
    return failed;
}

static void test_reading(void **state _unused_)
{
    _cleanup_close_ int root = recorded_open("linux-6.12", "");
    void *probe;
    int failed;

    if (!CAN_COUNT)
        skip();

    armed = true;
    probe = malloc(1);
    __asm__ volatile("" ::"r"(probe) : "memory");
    armed = false;
    free(probe);
    assert_int_equal(allocations, 1); /* the counting works */

    allocations = 0;
    armed = true;
    failed = read_all(root);
    armed = false;
    assert_int_equal(failed, 0);
    assert_int_equal(allocations, 0);
}

static void test_acting(void **state)
{
    const struct fixture *f = *state;
    const struct psi_trigger_config c = {false, 150000, 1000000};
    struct psi_trigger_config taken;
    int failed = 0, fd;

    if (!CAN_COUNT)
        skip();

    fixture_write(f, "memory.pressure", "");
    fixture_write(f, "cgroup.freeze", "");
    fixture_write(f, "cgroup.kill", "");
    fixture_write(f, "cgroup.procs", "");
    fixture_write(f, "memory.high", "");
    fixture_write(f, "proc/7/oom_score_adj", "");

    allocations = 0;
    armed = true;
    fd = psi_trigger_open(f->fd, "memory.pressure", &c, &taken);
    failed += fd < 0;
    failed += freezer_write(f->fd, true) < 0;
    failed += kill_cgroup(f->fd) < 0;
    failed += kill_cgroup_procs(f->fd) < 0;
    failed += file_write_u64_at(f->fd, "memory.high", 1) < 0;
    failed += oom_score_write_adj(f->fd, 7, 500) < 0;
    armed = false;
    (void)close(fd);
    assert_int_equal(failed, 0);
    assert_int_equal(allocations, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reading),
        cmocka_unit_test_setup_teardown(test_acting, fixture_setup, fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
