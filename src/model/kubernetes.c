#include "model/kubernetes.h"

#include <string.h>

#include "base/text.h"

#define SLICE ".slice"
#define SCOPE ".scope"
#define ROOT_NAME "kubepods"
#define ID_MIN 12 /* hex digits; runtimes use 64, and the short form has 12 */
#define SCORE_ALL 1000
#define SCORE_BURSTABLE_MIN 3
#define SCORE_BURSTABLE_MAX 999
#define SCORE_GUARANTEED (-997)
#define SCORE_GUARANTEED_OLD (-998) /* before 1.2x; and of sandboxes still */

/* Where in the tree the walk along the path stands. */
struct parse {
    struct kube_place *place;
    struct text stem; /* of the root's slice, with what it is nested in: "kubelet-kubepods"; systemd only */
    bool systemd;
};

static bool text_ends(struct text t, const char *suffix)
{
    size_t n = strlen(suffix);

    return t.length > n && memcmp(t.at + t.length - n, suffix, n) == 0;
}

static struct text without_end(struct text t, const char *suffix)
{
    return (struct text){t.at, t.length - strlen(suffix)};
}

static bool take(struct text *t, const char *prefix)
{
    size_t n = strlen(prefix);

    if (t->length < n || memcmp(t->at, prefix, n) != 0)
        return false;
    *t = (struct text){t->at + n, t->length - n};
    return true;
}

static bool take_text(struct text *t, struct text prefix)
{
    if (t->length < prefix.length || memcmp(t->at, prefix.at, prefix.length) != 0)
        return false;
    *t = (struct text){t->at + prefix.length, t->length - prefix.length};
    return true;
}

static bool next_component(struct text *rest, struct text *ret)
{
    const char *slash;

    if (rest->length == 0)
        return false;
    slash = memchr(rest->at, '/', rest->length);
    *ret = (struct text){rest->at, slash ? (size_t)(slash - rest->at) : rest->length};
    *rest =
        (struct text){ret->at + ret->length + (slash != NULL), rest->length - ret->length - (slash != NULL)};
    return true;
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/* The uid of a pod; systemd has no dashes in the name of a slice but those that nest. */
static bool read_pod(struct text t, struct kube_place *p)
{
    if (t.length == 0 || t.length >= sizeof(p->pod))
        return false;
    for (size_t i = 0; i < t.length; i++) {
        char c = t.at[i];

        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && c != '_' &&
            c != '-')
            return false;
        p->pod[i] = c == '_' ? '-' : c;
    }
    p->pod[t.length] = '\0';
    p->kind = KUBE_POD;
    return true;
}

static enum qos take_tier(struct text *t)
{
    if (take(t, "burstable"))
        return QOS_BURSTABLE;
    if (take(t, "besteffort"))
        return QOS_BESTEFFORT;
    return QOS_UNSET;
}

/* "RUNTIME-ID", "RUNTIME-ID.scope", or the id alone. Beside them runtimes keep processes of their own in a
 * pod (crio-conmon-ID.scope): those are no containers. */
static bool read_container(struct text t, struct kube_place *p)
{
    struct text id, runtime;

    if (text_ends(t, SCOPE))
        t = without_end(t, SCOPE);
    id = (struct text){t.at + t.length, 0};
    while (id.length < t.length && is_hex(id.at[-1]))
        id = (struct text){id.at - 1, id.length + 1};
    runtime = (struct text){t.at, t.length - id.length};
    if (id.length < ID_MIN || id.length >= sizeof(p->container))
        return false;
    if (runtime.length > 0 && !memchr("-_:", runtime.at[runtime.length - 1], 3))
        return false;
    if (text_ends(runtime, "conmon-"))
        return false;
    memcpy(p->container, id.at, id.length);
    p->container[id.length] = '\0';
    p->kind = KUBE_CONTAINER;
    return true;
}

static bool stem_is_root(struct text stem)
{
    return text_equal(stem, ROOT_NAME) || text_ends(stem, "-" ROOT_NAME);
}

/* "kubepods-burstable-podUID.slice:cri-containerd:ID", one directory for all of it. */
static bool read_joined(struct text t, struct kube_place *p)
{
    const char *end = memmem(t.at, t.length, SLICE ":", strlen(SLICE ":"));
    const char *pod = end ? memmem(t.at, (size_t)(end - t.at), "-pod", 4) : NULL;
    struct kube_place found = {.tier = QOS_GUARANTEED};
    struct text stem, rest;

    /* The "-pod" of "-podUID", not the one of "x-kubepods". */
    if (!pod)
        return false;
    stem = (struct text){t.at, (size_t)(pod - t.at)};
    if (text_ends(stem, "-burstable")) {
        found.tier = QOS_BURSTABLE;
        stem = without_end(stem, "-burstable");
    } else if (text_ends(stem, "-besteffort")) {
        found.tier = QOS_BESTEFFORT;
        stem = without_end(stem, "-besteffort");
    }
    rest = (struct text){end + strlen(SLICE ":"), t.length - (size_t)(end - t.at) - strlen(SLICE ":")};
    if (!stem_is_root(stem) || !read_pod((struct text){pod + 4, (size_t)(end - pod - 4)}, &found) ||
        !read_container(rest, &found))
        return false;
    *p = found;
    return true;
}

static bool read_root(struct parse *s, struct text t)
{
    struct text stem = text_ends(t, SLICE) ? without_end(t, SLICE) : t;

    s->systemd = stem.length < t.length;
    if (!(s->systemd ? stem_is_root(stem) : text_equal(stem, ROOT_NAME)))
        return read_joined(t, s->place);
    s->stem = stem;
    s->place->kind = KUBE_ROOT;
    return true;
}

static bool become_tier(struct kube_place *p, enum qos tier)
{
    if (p->kind != KUBE_ROOT)
        return false;
    p->kind = KUBE_TIER;
    p->tier = tier;
    return true;
}

/* "STEM-burstable.slice", "STEM-podUID.slice", and below the former "STEM-burstable-podUID.slice". */
static bool read_slice(const struct parse *s, struct text t)
{
    struct kube_place *p = s->place;
    enum qos tier;

    if (!text_ends(t, SLICE))
        return false;
    t = without_end(t, SLICE);
    if (!take_text(&t, s->stem) || !take(&t, "-"))
        return false;
    tier = take_tier(&t);
    if (tier == QOS_UNSET) {
        p->tier = QOS_GUARANTEED;
        return p->kind == KUBE_ROOT && take(&t, "pod") && read_pod(t, p);
    }
    if (t.length == 0)
        return become_tier(p, tier);
    return p->kind == KUBE_TIER && tier == p->tier && take(&t, "-pod") && read_pod(t, p);
}

/* "burstable", "podUID". */
static bool read_directory(const struct parse *s, struct text t)
{
    struct kube_place *p = s->place;
    enum qos tier;

    if (!take(&t, "pod")) {
        tier = take_tier(&t);
        return tier != QOS_UNSET && t.length == 0 && become_tier(p, tier);
    }
    if (p->kind == KUBE_ROOT)
        p->tier = QOS_GUARANTEED;
    return read_pod(t, p);
}

static bool step(struct parse *s, struct text t)
{
    switch (s->place->kind) {
    case KUBE_NONE:
        (void)read_root(s, t); /* what is above the root may have any name */
        return true;
    case KUBE_ROOT:
    case KUBE_TIER:
        return s->systemd ? read_slice(s, t) : read_directory(s, t);
    case KUBE_POD:
        if (!read_container(t, s->place))
            s->place->kind = KUBE_BELOW;
        return true;
    case KUBE_CONTAINER:
    case KUBE_BELOW:
        s->place->kind = KUBE_BELOW;
        return true;
    }
    return false;
}

bool kube_place_parse(const char *path, struct kube_place *ret)
{
    struct kube_place place = {.kind = KUBE_NONE};
    struct parse s = {.place = &place};
    struct text rest = text_from(path), component;

    *ret = place;
    while (next_component(&rest, &component))
        if (!step(&s, component))
            return false;
    *ret = place;
    return place.kind != KUBE_NONE;
}

bool kube_kind_is_kubelets(enum kube_kind kind)
{
    return kind == KUBE_ROOT || kind == KUBE_TIER || kind == KUBE_POD;
}

bool kube_request_from_adj(enum qos tier, int adj, uint64_t capacity_bytes, uint64_t limit_bytes,
                           uint64_t *ret_bytes)
{
    switch (tier) {
    case QOS_BESTEFFORT:
        if (adj != SCORE_ALL)
            return false;
        *ret_bytes = 0;
        return true;
    case QOS_GUARANTEED:
        if ((adj != SCORE_GUARANTEED && adj != SCORE_GUARANTEED_OLD) || limit_bytes == UINT64_MAX)
            return false;
        *ret_bytes = limit_bytes;
        return true;
    case QOS_BURSTABLE:
        if (adj < SCORE_BURSTABLE_MIN || adj > SCORE_BURSTABLE_MAX)
            return false;
        *ret_bytes =
            adj == SCORE_BURSTABLE_MAX
                ? 0
                : u64_min(u64_mul_div(capacity_bytes, (uint64_t)(SCORE_ALL - adj), SCORE_ALL), limit_bytes);
        return true;
    case QOS_UNSET:
    case QOS_KUBERNETES:
        break;
    }
    return false;
}
