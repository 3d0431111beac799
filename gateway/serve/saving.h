/* serve/saving.h -- one record saved, for PUT and for handlers alike, with those that were given inside it:
 *
 *     saving_start   body -> records (model/codec.h)     now
 *       clear          conditional: what is invalidated  now or later (clear.h)
 *       ask            validate, tags (vetting.h)        now or later, one record after the other
 *       ask            on_save, when all of them are good; the same
 *       store          targets, then who refers to them  now or later
 *
 * Nothing is stored before everything has been checked. Once it stores it cannot be cancelled: the bar of a record's flight (flight.h)
 * stands until the store has answered. */
#ifndef PERIGEE_SERVE_SAVING_H
#define PERIGEE_SERVE_SAVING_H

#include "model/codec.h"
#include "serve/clear.h"
#include "serve/tokens.h"
#include "serve/vetting.h"

struct saving;

/* The result is in *s; it is the owner's again. */
typedef void saving_done(struct saving *s, enum status status);

/* Embed it; set the first part. While it is under way the owner holds a reference to served->generation. */
struct saving {
    struct serve *serve;
    struct served *served;
    struct arena *arena;    /* lives until done */
    struct key_draft draft; /* the keys that are known already, from a query */
    struct slice body;      /* JSON; kept */
    bool packed, cascade;   /* as in struct codec_reader */
    bool has_life;
    uint64_t life_ms; /* of the record itself, unless on_save says otherwise; its targets live as their models say */
    const struct store_condition
        *when;                 /* of the record itself; kept; NULL: always. Then nothing else is saved with it */
    const struct trail *trail; /* of who saves; kept */
    const struct grant *grant; /* what the token of who saves gives; for saving_start only; NULL: everything */
    saving_done *done;

    /* the result */
    struct problem problem;
    struct record_key key;      /* once the body could be read: key.model is set */
    struct blob *blob;          /* OK: the record as it is stored; one reference, the owner's to give back */
    bool was_there;             /* OK: it replaced a record */
    const struct model **saved; /* OK: the models of all that were saved, one a record; in the arena */
    size_t n_saved;

    struct slice text; /* private: the body without insignificant white space */
    struct saving_record *record;
    struct clearing clearing;
    struct vetting vetting;
    enum vet_step step;
    size_t records, asked, waiting; /* of this step, so many have been asked about */
    bool sealed;
    unsigned level;
    enum status status;
};

/* OK or a failure now, or PENDING, and done later. */
enum status saving_start(struct saving *s);

#endif
