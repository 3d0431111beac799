/* serve/openapi_parts.h -- those parts of the OpenAPI document that are the same for all models. */
#ifndef PERIGEE_SERVE_OPENAPI_PARTS_H
#define PERIGEE_SERVE_OPENAPI_PARTS_H

#define OPENAPI_TAG "About this gateway" /* of the calls that describe */

#define OPENAPI_TAG_ACTIONS "Actions on records"

#define REF "'$ref':'#/components/"

#define RECORD_HEADERS                                                                                                 \
    "'headers':{'ETag':{" REF "headers/ETag'},'Age':{" REF "headers/Age'},'Cache-Control':{" REF                       \
    "headers/Cache-Control'},'Cache-Status':{" REF "headers/Cache-Status'},'Cache-Groups':{" REF                       \
    "headers/Cache-Groups'},'Vary':{" REF "headers/Vary'},'Content-Encoding':{" REF "headers/Content-Encoding'}}"

/* One of the headers of what writes. */
#define INVALIDATION "'Cache-Group-Invalidation':{" REF "headers/Cache-Group-Invalidation'}"

extern const char openapi_information[]; /* the document's first members, up to the tags of the models */

/* Members of components/headers and so on. */
extern const char openapi_security[], openapi_headers[], openapi_parameters[], openapi_responses[], openapi_schemas[];

/* More of them, behind others, where there are such models. */
extern const char openapi_parameters_of_references[], openapi_responses_of_methods[];

#endif
