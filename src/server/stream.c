#include "server/stream.h"

#include "server/status_json.h"

static bool read_u64(const json_t *o, const char *key, uint64_t *value)
{
    const json_t *v = json_object_get(o, key);

    if (!v)
        return true;
    if (!json_is_integer(v) || json_integer_value(v) < 0)
        return false;
    *value = (uint64_t)json_integer_value(v);
    return true;
}

bool stream_open(struct stream *s, enum stream_kind kind, const json_t *parameters,
                 const struct record_ring *ring, uint64_t now_usec, const char **ret_error)
{
    uint64_t since = now_usec;

    *s = (struct stream){.kind = kind, .id = ring->next_id - 1};
    *ret_error = "org.varlink.service.InvalidParameter";
    if (kind == STREAM_EXPLAIN) {
        if (!read_u64(parameters, "id", &s->id))
            return false;
        *ret_error = "io.headroom.NoSuchDecision";
        return record_ring_get(ring, s->id) != NULL;
    }
    if (!read_u64(parameters, "since_usec", &since))
        return false;
    s->since_usec = since < now_usec ? now_usec - since : 0;
    s->follow = json_is_true(json_object_get(parameters, "follow"));
    s->id = ring->oldest_id;
    return true;
}

static json_t *message(struct stream *s, json_t *parameters, bool continues)
{
    if (!continues)
        s->kind = STREAM_NONE;
    return continues ? json_pack("{s:o, s:b}", "parameters", parameters, "continues", 1)
                     : json_pack("{s:o}", "parameters", parameters);
}

static json_t *next_of_explain(struct stream *s, const struct record_ring *ring, const struct config *config)
{
    const struct record_head *h = record_ring_get(ring, s->id);
    unsigned from = s->row;

    if (!h) /* pushed out by newer ones meanwhile */
        return message(s, json_pack("{s:[]}", "candidates"), false);
    if (!s->headed) {
        s->headed = true;
        return message(s, json_pack("{s:o}", "decision", record_to_json(config, h)), h->row_count > 0);
    }
    s->row += STREAM_ROWS;
    return message(s,
                   json_pack("{s:o}", "candidates", record_rows_to_json(config, h, from, STREAM_ROWS, false)),
                   s->row < h->row_count);
}

static json_t *next_of_events(struct stream *s, const struct record_ring *ring, const struct config *config)
{
    const struct record_head *h;

    if (s->id < ring->oldest_id)
        s->id = ring->oldest_id;
    while ((h = record_ring_get(ring, s->id)) != NULL && h->ended) {
        s->id++;
        if (h->time_usec >= s->since_usec)
            return message(s, json_pack("{s:o}", "decision", record_to_json(config, h)), true);
    }
    return s->follow ? NULL : message(s, json_object(), false);
}

json_t *stream_next(struct stream *s, const struct record_ring *ring, const struct config *config)
{
    if (s->kind == STREAM_EXPLAIN)
        return next_of_explain(s, ring, config);
    return s->kind == STREAM_EVENTS ? next_of_events(s, ring, config) : NULL;
}
