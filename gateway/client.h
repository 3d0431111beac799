/* client.h -- `perigee get|save|delete`: one request to a gateway that runs elsewhere, and its answer. Knows no model: what the words mean, the
 * gateway decides. */
#ifndef PERIGEE_CLIENT_H
#define PERIGEE_CLIENT_H

/* [--url URL] MODEL name=value... [{...}]. Prints JSON: what is answered to stdout, and returns 0; a problem to stderr, and returns 1. 2: the
 * words are wrong, or nobody answers. */
int client_get(int argc, char **argv);
int client_save(int argc, char **argv);
int client_delete(int argc, char **argv);

#endif
