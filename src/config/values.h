/* Readers of values, for the table of keys. 0, or -EINVAL with the reason reported. */
#pragma once

#include "config/keys.h"

int value_parse_boolean(const struct key *key, struct reader *reader, struct text value, void *destination);
int value_parse_choice(const struct key *key, struct reader *reader, struct text value, void *destination);
int value_parse_access(const struct key *key, struct reader *reader, struct text value, void *destination);
int value_parse_count(const struct key *key, struct reader *reader, struct text value, void *destination);
int value_parse_duration(const struct key *key, struct reader *reader, struct text value, void *destination);
int value_parse_amount(const struct key *key, struct reader *reader, struct text value, void *destination);
int value_parse_factor(const struct key *key, struct reader *reader, struct text value, void *destination);
int value_parse_offload_ratio(const struct key *key, struct reader *reader, struct text value,
                              void *destination);
int value_parse_byte_rate(const struct key *key, struct reader *reader, struct text value, void *destination);
int value_parse_pressure(const struct key *key, struct reader *reader, struct text value, void *destination);
int value_parse_actions(const struct key *key, struct reader *reader, struct text value, void *destination);
int value_parse_workload(const struct key *key, struct reader *reader, struct text value, void *destination);
int value_parse_protect(const struct key *key, struct reader *reader, struct text value, void *destination);
int value_parse_match(const struct key *key, struct reader *reader, struct text value, void *destination);
int value_parse_command(const struct key *key, struct reader *reader, struct text value, void *destination);
int value_parse_file(const struct key *key, struct reader *reader, struct text value, void *destination);
int value_parse_hook(const struct key *key, struct reader *reader, struct text value, void *destination);
int value_parse_groups(const struct key *key, struct reader *reader, struct text value, void *destination);
int value_parse_user(const struct key *key, struct reader *reader, struct text value, void *destination);

/* And their writers (formats.c), which give what the readers take. */
bool value_format_boolean(const struct key *key, const void *source, struct buffer *b);
bool value_format_choice(const struct key *key, const void *source, struct buffer *b);
bool value_format_access(const struct key *key, const void *source, struct buffer *b);
bool value_format_count(const struct key *key, const void *source, struct buffer *b);
bool value_format_duration(const struct key *key, const void *source, struct buffer *b);
bool value_format_amount(const struct key *key, const void *source, struct buffer *b);
bool value_format_factor(const struct key *key, const void *source, struct buffer *b);
bool value_format_offload_ratio(const struct key *key, const void *source, struct buffer *b);
bool value_format_byte_rate(const struct key *key, const void *source, struct buffer *b);
bool value_format_pressure(const struct key *key, const void *source, struct buffer *b);
bool value_format_actions(const struct key *key, const void *source, struct buffer *b);
bool value_format_workload(const struct key *key, const void *source, struct buffer *b);
bool value_format_protect(const struct key *key, const void *source, struct buffer *b);
bool value_format_match(const struct key *key, const void *source, struct buffer *b);
bool value_format_command(const struct key *key, const void *source, struct buffer *b);
bool value_format_hook(const struct key *key, const void *source, struct buffer *b);
bool value_format_groups(const struct key *key, const void *source, struct buffer *b);
bool value_format_user(const struct key *key, const void *source, struct buffer *b);

/* The value asks for something that this version does not do. */
void value_warn_later(struct reader *reader, const char *name, struct text value);
/* 1: yes, 0: no, negative: neither. */
int value_boolean(struct text t);
