#include "snapshot/claims.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "base/units.h"
#include "kernel/cgroup.h"

#define VALUE_MAX 256
#define LIST_MAX 512
#define OWNER "user.headroom.owner"

#define FNV_PRIME UINT64_C(1099511628211) /* FNV-1a, 64 bits */

static uint64_t hash(struct text t)
{
    uint64_t h = UINT64_C(14695981039346656037);

    for (size_t i = 0; i < t.length; i++)
        h = (h ^ (unsigned char)t.at[i]) * FNV_PRIME;
    return h ? h : 1;
}

/* Each owner has task names of his own: nobody makes up kills for another one's task. */
static uint64_t mix(uint64_t task, uint32_t owner_uid)
{
    for (unsigned i = 0; i < 4; i++)
        task = (task ^ (owner_uid >> 8 * i & 0xff)) * FNV_PRIME;
    return task ? task : 1;
}

/* In any case of the letters, as systemd reads its own attributes: people write True and NO. */
static bool is_word(struct text t, const char *word)
{
    for (size_t i = 0; i < t.length; i++) {
        char c = t.at[i] >= 'A' && t.at[i] <= 'Z' ? (char)(t.at[i] + ('a' - 'A')) : t.at[i];

        if (word[i] == '\0' || c != word[i])
            return false;
    }
    return word[t.length] == '\0';
}

static bool parse_bool(struct text t, bool *ret)
{
    static const char *const yes[] = {"yes", "true", "1", "on"}, *const no[] = {"no", "false", "0", "off"};

    for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
        if (is_word(t, yes[i])) {
            *ret = true;
            return true;
        }
        if (is_word(t, no[i])) {
            *ret = false;
            return true;
        }
    }
    return false;
}

static bool parse_started(struct text t, uint64_t real_offset_usec, uint64_t *ret)
{
    uint64_t hundredths;

    if (text_parse_hundredths(t, &hundredths) < 0 || hundredths > UINT64_MAX / 10000)
        return false;
    *ret = u64_sub_floor(hundredths * 10000, real_offset_usec);
    return true;
}

bool claims_parse(const char *name, const char *value, uint64_t real_offset_usec, struct group_claims *claims)
{
    struct text t = text_trim(text_from(value));
    uint64_t number;
    bool is;

    if (strcmp(name, "user.headroom.priority") == 0) {
        if (text_parse_u64(t, &number) < 0 || number > CONFIG_PRIORITY_PROTECTED)
            return false;
        claims->priority = (uint16_t)number;
        return claims->has_priority = true;
    }
    if (strcmp(name, "user.headroom.retriable") == 0) {
        if (!parse_bool(t, &is))
            return false;
        claims->retriable = is;
        return claims->has_retriable = true;
    }
    if (strcmp(name, "user.headroom.request") == 0)
        return claims->has_request = units_parse_bytes(t, &claims->request_bytes) == 0 ||
                                     text_parse_u64(t, &claims->request_bytes) == 0;
    if (strcmp(name, "user.headroom.started") == 0)
        return claims->has_started = parse_started(t, real_offset_usec, &claims->started_usec);
    if (strcmp(name, OWNER) == 0) {
        if (text_parse_u64(t, &number) < 0 || number >= UINT32_MAX)
            return false;
        claims->owner_uid = (uint32_t)number;
        return claims->has_owner = true;
    }
    if (strcmp(name, "user.headroom.task") == 0)
        return (claims->task = t.length > 0 ? hash(t) : 0) != 0;
    if (strcmp(name, "user.headroom.pause") == 0)
        return parse_bool(t, &is) && (claims->no_pause = !is); /* yes is what its class says anyway */
    if (strcmp(name, "user.oomd_avoid") == 0)
        return parse_bool(t, &is) && (claims->avoid = is);
    if (strcmp(name, "user.oomd_omit") == 0)
        return parse_bool(t, &is) && (claims->omit = is);
    return false;
}

/* A list that is too long says nothing: then each is asked for. */
static bool is_listed(const char *list, ssize_t length, const char *name)
{
    for (ssize_t at = 0; at < length; at += (ssize_t)strlen(list + at) + 1)
        if (strcmp(list + at, name) == 0)
            return true;
    return length < 0;
}

void claims_read(int cgroup_fd, uint64_t real_offset_usec, uint32_t owner_uid, struct group_claims *ret)
{
    static const char *const names[] = {
        "user.headroom.priority", "user.headroom.retriable", "user.headroom.request",
        "user.headroom.started",  "user.headroom.task",      "user.headroom.pause",
        "user.oomd_avoid",        "user.oomd_omit",          OWNER,
    };
    _uninitialized_ char value[VALUE_MAX], list[LIST_MAX];
    ssize_t length = cgroup_list_xattrs(cgroup_fd, list, sizeof(list));

    memset(ret, 0, sizeof(*ret));
    if (length <= 0 && length != -ERANGE)
        return;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (is_listed(list, length, names[i]) &&
            cgroup_read_xattr(cgroup_fd, names[i], value, sizeof(value)) >= 0)
            (void)claims_parse(names[i], value, real_offset_usec, ret);
    ret->has_owner = ret->has_owner && owner_uid == 0; /* nobody else says whose his own is */
    if (ret->has_owner)
        owner_uid = ret->owner_uid;
    if (ret->task != 0)
        ret->task = mix(ret->task, owner_uid);
}

uint64_t claims_real_offset_usec(uint64_t boot_usec)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_REALTIME, &ts);
    return u64_sub_floor((uint64_t)ts.tv_sec * USEC_PER_SEC + (uint64_t)ts.tv_nsec / 1000, boot_usec);
}
