#include "daemon/reload.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/text.h"
#include "base/units.h"
#include "config/pods.h"
#include "daemon/daemon.h"
#include "kernel/file.h"
#include "system/clock.h"
#include "system/log.h"
#include "system/notify.h"

#define CHILD_USEC (5 * USEC_PER_SEC)
/* The guardian may be at something else first: a fence, or systemctl. */
#define ANSWER_USEC (8 * USEC_PER_SEC)
#define DETAILS_MAX 8192

static int load(const struct reload_source *s, struct config *ret, unsigned *ret_files,
                struct config_messages *messages)
{
    *ret_files = 0;
    messages->count = messages->errors = 0;
    if (s->config_path || s->real_root)
        return config_load_origins(s->config_path, ret, NULL, ret_files, messages);
    config_init_defaults(ret);
    return 0;
}

static void read_into(const struct reload_source *s, struct reload_block *b)
{
    if (!b->pods_only) {
        b->result = load(s, &b->config, &b->files, &b->messages);
        return;
    }
    b->messages.count = b->messages.errors = 0;
    pods_read(&b->config, &b->messages);
    b->result = 0;
}

/* ---- the guardian's side ---- */

static void kill_child(struct reload_child *c)
{
    (void)kill(c->pid, SIGKILL); /* our own child, not yet reaped: the pid is his */
    (void)waitpid(c->pid, NULL, 0);
    close_fdp(&c->fd);
    c->pid = 0;
}

bool reload_child_start(struct reload_child *c, const struct reload_source *source, uint64_t sequence,
                        int guardian_fd)
{
    struct reload_block *b = source->block;
    pid_t guardian = getpid();

    if (c->pid > 0)
        kill_child(c);
    *c = (struct reload_child){.fd = -1, .due_usec = clock_now_usec() + CHILD_USEC, .sequence = sequence};
    c->pid = fork();
    if (c->pid < 0) {
        c->pid = 0;
        return false;
    }
    if (c->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* nobody writes into the block that nobody waits for */
        (void)prctl(PR_SET_NAME, "headroomd-conf");
        (void)setpriority(PRIO_PROCESS, 0, 0); /* nothing waits for it */
        (void)close(guardian_fd);              /* that the guardian has ended is seen by the end of this */
        if (getppid() != guardian)
            _exit(1);
        read_into(source, b);
        b->sequence = sequence;
        _exit(0);
    }
    c->fd = (int)syscall(SYS_pidfd_open, c->pid, 0); /* 5.3 */
    return true;
}

bool reload_child_check(struct reload_child *c, enum reload_outcome *ret)
{
    int status = 0;
    pid_t r;

    if (c->pid == 0)
        return false;
    r = waitpid(c->pid, &status, WNOHANG);
    if (r == 0 && clock_now_usec() < c->due_usec)
        return false;
    if (r == 0) {
        kill_child(c);
        *ret = RELOAD_TOO_SLOW;
        return true;
    }
    close_fdp(&c->fd);
    c->pid = 0;
    *ret = r > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? RELOAD_READ : RELOAD_FAILED;
    return true;
}

/* ---- the loop's side ---- */

static void note_path(struct daemon *d, unsigned files)
{
    const char *path = d->options.config_path ? d->options.config_path : CONFIG_PATH_DEFAULT;

    (void)snprintf(d->config_path, sizeof(d->config_path), "%s", files > 0 ? path : "");
}

static void on_timer(void *user)
{
    struct daemon *d = user;

    reload_on_answer(d, d->reload.sequence, RELOAD_TOO_SLOW);
}

int reload_init(struct daemon *d)
{
    struct reload *l = &d->reload;
    void *block = mmap(NULL, sizeof(*l->block), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (block == MAP_FAILED)
        return -errno;
    l->block = block;
    l->source.block = block;
    l->timer = loop_add_timer(&d->loop, on_timer, d);
    return l->timer ? 0 : -ENOSPC;
}

int reload_load_first(struct daemon *d)
{
    static struct config_messages messages;
    unsigned files;
    int r;

    d->reload.source = (struct reload_source){
        .config_path = d->options.config_path,
        .real_root = file_is_root(d->options.sysroot),
    };
    r = load(&d->reload.source, &d->config, &files, &messages);
    for (unsigned i = 0; i < messages.count; i++)
        log_line(messages.warning[i] ? LOG_PRIO_WARNING : LOG_PRIO_ERROR, "%s%s",
                 messages.warning[i] ? "warning: " : "error: ", messages.text[i]);
    pods_note_said(d, &messages);
    note_path(d, files);
    return r;
}

/* Started or asked to start; RELOADING stands until all that was asked for is done. */
static bool ask_guardian(struct daemon *d, bool pods_only)
{
    struct reload *l = &d->reload;

    l->block->pods_only = pods_only;
    if (pods_only)
        memcpy(l->block->config.pod_file, d->config.pod_file, sizeof(d->config.pod_file));
    if (!guardian_ask_reload(d, l->sequence + 1))
        return false;
    l->sequence++;
    l->pending = true;
    /* The whole has the pods in it, but may be refused: they are read once more then. */
    if (pods_only)
        l->pods_again = false;
    else
        l->again = false;
    loop_timer_arm(l->timer, clock_now_usec() + ANSWER_USEC);
    return true;
}

bool reload_request(struct daemon *d, char *ret_text, size_t size)
{
    struct reload *l = &d->reload;
    char state[64];

    if (l->pending) {
        l->again = true;
        return true;
    }
    if (!ask_guardian(d, false)) {
        (void)snprintf(ret_text, size,
                       "the guardian, which would read the files, does not run now; the old "
                       "configuration stays in force");
        return false;
    }
    (void)snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%ju",
                   (uintmax_t)clock_monotonic_usec());
    notify_send(state);
    return true;
}

static void log_details(const char *details, enum log_priority priority)
{
    struct text rest = text_from(details), line;

    while (text_next_line(&rest, &line))
        log_line(priority, "event=reload text=\"%.*s\"", (int)line.length, line.at);
}

static void finish(struct daemon *d, uint64_t sequence, int result, const char *text, const char *details)
{
    struct reload *l = &d->reload;

    l->at_usec = clock_now_usec();
    l->was_good = result == 0;
    l->good += result == 0;
    l->refused += result < 0;
    (void)snprintf(l->text, sizeof(l->text), "%s", text);
    log_line(result < 0 ? LOG_PRIO_ERROR : LOG_PRIO_NOTICE, "event=reload result=%s text=\"%s\"",
             result < 0 ? "refused" : "good", text);
    log_details(details, result < 0 ? LOG_PRIO_ERROR : LOG_PRIO_NOTICE);
    l->pending = false;
    loop_timer_arm(l->timer, 0);
    control_answer(&d->control, sequence, result, text, details);
    if (l->again && ask_guardian(d, false))
        return;
    if (l->again)
        control_answer(&d->control, UINT64_MAX, -EBUSY, "the guardian does not run now", "");
    l->again = false;
    notify_send("READY=1");
    if (l->pods_again && !ask_guardian(d, true))
        pods_retry(d);
}

/* ---- the pods alone ---- */

bool reload_request_pods(struct daemon *d)
{
    if (!d->reload.pending)
        return ask_guardian(d, true);
    d->reload.pods_again = true;
    return true;
}

static void finish_pods(struct daemon *d, enum reload_outcome outcome)
{
    struct reload *l = &d->reload;

    l->pending = false;
    loop_timer_arm(l->timer, 0);
    if (outcome == RELOAD_READ && l->block->sequence == l->sequence) {
        pods_take(d, &l->block->config, &l->block->messages);
    } else {
        report_warning(d, "%.200s could not be read%s; tried again, what it said before goes on",
                       d->config.pod_file,
                       outcome == RELOAD_TOO_SLOW ? " in time: is the file system there?" : "");
        pods_retry(d);
    }
    if (l->again) {
        char ignored[CONTROL_TEXT_MAX];

        if (!reload_request(d, ignored, sizeof(ignored)))
            control_answer(&d->control, UINT64_MAX, -EBUSY, "the guardian does not run now", "");
        l->again = false;
    } else if (l->pods_again && !ask_guardian(d, true)) {
        pods_retry(d);
    }
}

static void append_messages(struct buffer *b, const struct config_messages *m)
{
    for (unsigned i = 0; i < m->count && i < CONFIG_MESSAGES_MAX; i++)
        buffer_appendf(b, "%s%s\n", m->warning[i] ? "warning: " : "", m->text[i]);
    if (m->errors > CONFIG_MESSAGES_MAX)
        buffer_appendf(b, "and %u more\n", m->errors - CONFIG_MESSAGES_MAX);
}

static const char *first_error(const struct config_messages *m)
{
    for (unsigned i = 0; i < m->count && i < CONFIG_MESSAGES_MAX; i++)
        if (!m->warning[i])
            return m->text[i];
    return "it could not be read";
}

static void take_over(struct daemon *d, uint64_t sequence)
{
    static char storage[DETAILS_MAX];
    struct reload_block *b = d->reload.block;
    char text[RELOAD_TEXT_MAX];
    struct buffer details;
    int r;

    buffer_init(&details, storage, sizeof(storage));
    if (b->result < 0) {
        append_messages(&details, &b->messages);
        (void)snprintf(text, sizeof(text), "the old configuration stays in force: %.440s",
                       first_error(&b->messages));
        finish(d, sequence, -EINVAL, text, storage);
        return;
    }
    r = reload_apply(d, &details, text, sizeof(text));
    if (r == 0) {
        append_messages(&details, &b->messages);
        pods_note_said(d, &b->messages);
        note_path(d, b->files);
    }
    finish(d, sequence, r < 0 ? -EINVAL : 0, text, storage);
}

void reload_on_answer(struct daemon *d, uint64_t sequence, enum reload_outcome outcome)
{
    static const char *const failures[] = {
        [RELOAD_FAILED] = "the old configuration stays in force: the process that reads the files failed",
        [RELOAD_TOO_SLOW] =
            "the old configuration stays in force: the files could not be read in time; is the "
            "file system that they lie on there?",
    };

    if (!d->reload.pending || sequence != d->reload.sequence)
        return; /* an answer to what was given up */
    if (d->reload.block->pods_only)
        finish_pods(d, outcome);
    else if (outcome == RELOAD_READ && d->reload.block->sequence == sequence)
        take_over(d, sequence);
    else
        finish(d, sequence, -EIO, failures[outcome == RELOAD_TOO_SLOW ? RELOAD_TOO_SLOW : RELOAD_FAILED], "");
}

void reload_on_guardian_gone(struct daemon *d)
{
    if (d->reload.pending)
        reload_on_answer(d, d->reload.sequence, RELOAD_FAILED);
}

int reload_command(void *user, const struct control_command *c, char *ret_text, size_t size)
{
    struct daemon *d = user;

    if (c->verb == CONTROL_RUN || c->verb == CONTROL_RUN_END)
        return running_command(d, c, ret_text, size);
    if (c->verb == CONTROL_OFFLOAD)
        return offloading_command(d, c, ret_text, size);
    if (c->verb != CONTROL_RELOAD)
        return pausing_command(user, c, ret_text, size);
    if (!reload_request(d, ret_text, size))
        return -EBUSY;
    d->control.ticket = d->reload.sequence + d->reload.again;
    return -EINPROGRESS;
}

void reload_fill_status(const struct daemon *d, struct status *s)
{
    s->reload = (struct status_reload){
        .good = d->reload.good,
        .refused = d->reload.refused,
        .at_usec = d->reload.at_usec,
        .was_good = d->reload.was_good,
        .text = d->reload.text,
    };
}
