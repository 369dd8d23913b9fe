#include "snapshot/processes.h"

#include <dirent.h>
#include <string.h>

#include "base/pattern.h"
#include "base/text.h"
#include "kernel/file.h"
#include "kernel/oom_score.h"
#include "kernel/process.h"
#include "snapshot/handles.h"
#include "snapshot/nodes.h"

#define DEPTH_MAX 12
#define PROCESS_LEAST_BYTES UINT64_C(1048576)
#define OOM_SCORE_NEVER (-1000)

struct members {
    struct snapshot_reader *reader;
    struct snapshot *snapshot;
    unsigned class_index;
    unsigned workload_index;
    unsigned depth;
    int dir_fd;
    const char *path;
    uint64_t mems;   /* nodes that they are bound to, with the cgroup */
    pid_t spared[8]; /* our own ancestors: killing the shell that holds us ends us, too */
    unsigned spared_count;
};

/* Not init, not us and our companions, and not what the kernel's own killer is told to spare (sshd, udevd).
 */
static bool is_unit(const struct members *m, const struct process_stat *st)
{
    int adj;

    for (unsigned i = 0; i < m->spared_count; i++)
        if (m->spared[i] == st->pid)
            return false;
    return st->pid != 1 && st->pid != getpid() && st->ppid != getpid() && !st->kernel_thread &&
           st->state != 'Z' && st->state != 'X' &&
           (oom_score_read_adj(m->reader->root_fd, st->pid, &adj) < 0 || adj != OOM_SCORE_NEVER);
}

static bool matches_command(const char *patterns, const char *comm)
{
    struct text rest = text_from(patterns), word;
    char pattern[CONFIG_PATH_MAX];

    while (text_next_word(&rest, &word))
        if (text_copy(word, pattern, sizeof(pattern)) == 0 && pattern_match(pattern, comm))
            return true;
    return patterns[0] == 0;
}

static void fill(struct members *m, struct group_handle *h, const struct process_stat *st,
                 const struct process_memory *memory, uid_t uid)
{
    struct snapshot *s = m->snapshot;
    struct group *g = &s->groups[s->group_count++];

    *g = (struct group){
        .id = st->start_usec,
        .pid = st->pid,
        .class_index = m->class_index,
        .workload_index = m->workload_index,
        .owner_uid = uid,
        .birth_usec = st->start_usec,
        .mems = m->mems,
        .anon = memory->rss_anon,
        .shmem = memory->rss_shmem,
        .swap = memory->swap,
        .populated = true,
        .frozen = st->state == 'T',
    };
    memcpy(g->comm, st->comm, sizeof(g->comm) - 1);
    (void)text_copy(text_from(m->path), g->path, sizeof(g->path));
    handle_note_cpu(h, s->now_usec, st->cpu_usec);
    handle_observe(h, s->now_usec, g);
}

static int visit_process(void *user, pid_t pid)
{
    struct members *m = user;
    const struct class_config *class = &m->reader->config->classes[m->class_index];
    struct snapshot *s = m->snapshot;
    struct process_memory memory;
    struct process_stat st;
    struct group_handle *h;
    uid_t uid = 0;

    if (process_read_stat(m->reader->root_fd, pid, &st) < 0 || !is_unit(m, &st) ||
        !matches_command(class->match_command, st.comm) ||
        process_read_uid(m->reader->root_fd, pid, &uid) < 0 ||
        (class->match_user && uid != class->match_uid) ||
        process_read_memory(m->reader->root_fd, pid, &memory) < 0 ||
        memory.rss_anon + memory.rss_shmem + memory.swap < PROCESS_LEAST_BYTES)
        return 0;
    h = handle_find(m->reader, st.start_usec, pid);
    if (s->group_count >= s->group_max || (!h && !(h = handle_take(m->reader, st.start_usec, pid)))) {
        s->groups_left_out++;
        return 0;
    }
    h->seen = true;
    h->birth_usec = st.start_usec;
    h->class_index = m->class_index;
    fill(m, h, &st, &memory, uid);
    return 0;
}

static void visit_cgroup(struct members *m);

static int visit_child(void *user, const char *name, unsigned char type, uint64_t inode _unused_)
{
    struct members *above = user, below = *above;
    char path[GROUP_PATH_MAX];
    _cleanup_close_ int fd = -1;

    if (type != DT_DIR || cgroup_path_join(path, above->path, name) < 0)
        return 0;
    fd = file_open_dir(above->dir_fd, name);
    if (fd < 0)
        return 0;
    below.dir_fd = fd;
    below.path = path;
    below.depth++;
    visit_cgroup(&below);
    return 0;
}

static void visit_cgroup(struct members *m)
{
    (void)cgroup_each_proc(m->dir_fd, visit_process, m);
    if (m->depth < DEPTH_MAX)
        (void)file_each_entry(m->dir_fd, visit_child, m);
}

void processes_of_cgroup(struct snapshot_reader *r, struct snapshot *s, unsigned class_index,
                         unsigned workload_index, int cgroup_fd, const char *path)
{
    struct members m = {
        .reader = r,
        .snapshot = s,
        .class_index = class_index,
        .workload_index = workload_index,
        .dir_fd = cgroup_fd,
        .path = path,
        .mems = nodes_bound(r, cgroup_fd, path),
    };

    visit_cgroup(&m);
}

int processes_of_host(struct snapshot_reader *r, struct snapshot *s)
{
    struct members m = {.reader = r, .snapshot = s, .class_index = r->config->class_count - 1, .path = ""};
    struct process_stat st;
    pid_t pid = getpid();

    while (m.spared_count < ARRAY_SIZE(m.spared) && pid > 1 && process_read_stat(r->root_fd, pid, &st) == 0) {
        m.spared[m.spared_count++] = pid;
        pid = st.ppid;
    }
    return process_each(r->root_fd, visit_process, &m);
}
