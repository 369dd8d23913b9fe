#include <errno.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

static volatile sig_atomic_t stop_flag;

static void on_stop(int signal_number)
{
    (void)signal_number;
    stop_flag = 1;
}

/* What the starter has ignored stays ignored: a load that cannot be asked to end. */
static void stop_on(int number, const struct sigaction *action)
{
    struct sigaction before;

    if (sigaction(number, NULL, &before) == 0 && before.sa_handler == SIG_IGN)
        return;
    sigaction(number, action, NULL);
}

void stop_on_signals(void)
{
    /* No SA_RESTART: a sleep or a blocked write must end when the program is asked to stop. */
    struct sigaction action = {.sa_handler = on_stop};

    stop_on(SIGTERM, &action);
    stop_on(SIGINT, &action);
}

bool stop_requested(void)
{
    return stop_flag != 0;
}

uint64_t now_usec(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / NSEC_PER_USEC;
}

bool sleep_until_usec(uint64_t when_usec)
{
    struct timespec when = {
        .tv_sec = (time_t)(when_usec / USEC_PER_SEC),
        .tv_nsec = (long)(when_usec % USEC_PER_SEC * NSEC_PER_USEC),
    };

    while (!stop_flag && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL) == EINTR)
        ;
    return !stop_flag;
}

void hold(uint64_t duration_usec)
{
    uint64_t end_usec = duration_usec ? now_usec() + duration_usec : UINT64_MAX;

    /* A signal that comes between a check and a plain pause() would be lost; a bounded sleep is enough here.
     */
    while (!stop_flag && now_usec() < end_usec) {
        uint64_t next_usec = now_usec() + USEC_PER_SEC / 5;

        sleep_until_usec(next_usec < end_usec ? next_usec : end_usec);
    }
}

void pace_init(struct pace *pace, uint64_t bytes_per_sec)
{
    pace->start_usec = now_usec();
    pace->bytes_per_sec = bytes_per_sec;
}

bool pace_wait(const struct pace *pace, uint64_t wanted_bytes)
{
    if (pace->bytes_per_sec == RATE_MAX)
        return !stop_flag;
    uint64_t due_usec = (uint64_t)((unsigned __int128)wanted_bytes * USEC_PER_SEC / pace->bytes_per_sec);

    return sleep_until_usec(pace->start_usec + due_usec);
}
