#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "load.h"

/*
 * A task that can be run again: it grows, works, and is finished when all its ticks are done. A tick is work
 * that was really done, so time in which the task was frozen or throttled brings it no nearer to its end; and
 * it does not catch up afterwards by ticking faster, as a task that computes could not either.
 */
enum { TICK_USEC = 10000, PAGES_PER_TICK = 64, BURN_ROUNDS_PER_TICK = 20000, STEPS = 5 };

enum growth_profile { PROFILE_RAMP, PROFILE_STEPS, PROFILE_LATE, PROFILE_CREEP };

struct task {
    uint64_t bytes;
    uint64_t duration_usec;
    uint64_t grow_usec;
    uint64_t touch_all_usec; /* in which all of the memory is touched once; 0: a few pages per tick */
    uint64_t status_fd;
    enum growth_profile profile;
    bool shared;
    bool compressible;
    unsigned char *area;
    uint64_t held_bytes;
    uint64_t position;
};

static enum growth_profile profile_parse(const char *name)
{
    if (strcmp(name, "ramp") == 0)
        return PROFILE_RAMP;
    if (strcmp(name, "steps") == 0)
        return PROFILE_STEPS;
    if (strcmp(name, "late") == 0)
        return PROFILE_LATE;
    if (strcmp(name, "creep") == 0)
        return PROFILE_CREEP;
    fail("task: --profile: '%s' is none of ramp, steps, late, creep", name);
}

/* What the task holds after `tick` of `ticks`. */
static uint64_t task_target_bytes(const struct task *task, uint64_t tick, uint64_t ticks)
{
    uint64_t grow_ticks = task->grow_usec / TICK_USEC;
    uint64_t first_tick = 0;

    if (grow_ticks > ticks)
        grow_ticks = ticks;
    if (grow_ticks == 0)
        return task->bytes;
    if (task->profile == PROFILE_LATE) {
        /* A tenth at once, the rest in the last part of the life: the estimate of a newcomer is wrong. */
        first_tick = ticks - grow_ticks;
        uint64_t early_bytes = task->bytes / 10;
        uint64_t grown = tick > first_tick ? tick - first_tick : 0;

        return early_bytes + (task->bytes - early_bytes) * grown / grow_ticks;
    }
    uint64_t grown = tick < grow_ticks ? tick : grow_ticks;
    if (task->profile == PROFILE_CREEP) {
        /* Most of it in the growing time, the last tenth until the end: the most advanced is the largest. */
        uint64_t late_bytes = task->bytes / 10;

        return (task->bytes - late_bytes) * grown / grow_ticks + late_bytes * tick / ticks;
    }
    if (task->profile == PROFILE_STEPS)
        return task->bytes * (grown * STEPS / grow_ticks) / STEPS;
    return task->bytes * grown / grow_ticks;
}

static void task_tick(struct task *task, uint64_t tick, uint64_t ticks)
{
    uint64_t target_bytes = task_target_bytes(task, tick, ticks);
    uint64_t pages = PAGES_PER_TICK;

    if (target_bytes > task->held_bytes) {
        memory_fill(task->area, task->held_bytes, target_bytes);
        task->held_bytes = target_bytes;
    }
    if (task->touch_all_usec)
        pages = task->held_bytes / PAGE_BYTES * TICK_USEC / task->touch_all_usec + 1;
    memory_touch(task->area, task->held_bytes, pages, &task->position);
    burn_cpu(BURN_ROUNDS_PER_TICK);
}

static void task_report(const struct task *task, uint64_t tick, uint64_t ticks)
{
    if (task->status_fd != UINT64_MAX)
        dprintf((int)task->status_fd, "{\"ticks_done\": %llu, \"ticks\": %llu, \"bytes\": %llu}\n",
                (unsigned long long)tick, (unsigned long long)ticks, (unsigned long long)task->held_bytes);
}

static bool task_run(struct task *task)
{
    uint64_t ticks = task->duration_usec / TICK_USEC;
    uint64_t next_usec = now_usec();

    for (uint64_t tick = 1; tick <= ticks; tick++) {
        next_usec += TICK_USEC;
        if (!sleep_until_usec(next_usec))
            return false;
        /* One tick late is jitter and is made up for; more is time that was lost, and stays lost. */
        if (now_usec() > next_usec + TICK_USEC)
            next_usec = now_usec();
        task_tick(task, tick, ticks);
        if (tick % 100 == 0 || tick == ticks)
            task_report(task, tick, ticks);
    }
    return true;
}

int command_task(int argc, char **argv)
{
    struct task task = {.grow_usec = 3 * USEC_PER_SEC, .status_fd = UINT64_MAX};
    const char *profile = "ramp";
    const struct option_spec specs[] = {
        {"bytes", OPTION_BYTES, &task.bytes, true},
        {"seconds", OPTION_DURATION, &task.duration_usec, true},
        {"grow-seconds", OPTION_DURATION, &task.grow_usec, false},
        {"touch-all-seconds", OPTION_DURATION, &task.touch_all_usec, false},
        {"profile", OPTION_TEXT, &profile, false},
        {"status-fd", OPTION_COUNT, &task.status_fd, false},
        {"shared", OPTION_FLAG, &task.shared, false},
        {"compressible", OPTION_FLAG, &task.compressible, false},
    };

    options_parse("task", argc, argv, specs, sizeof(specs) / sizeof(specs[0]));
    task.profile = profile_parse(profile);
    stop_on_signals();
    memory_content_init(task.compressible ? CONTENT_COMPRESSIBLE : CONTENT_RANDOM);
    task.area = memory_map(task.bytes, task.shared, 0);
    /* 143 is what a shell makes of a death by SIGTERM: asked to stop is not finished. */
    return task_run(&task) ? 0 : 143;
}
