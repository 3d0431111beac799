/* testing.h -- `perigee test`: the specs that people write for their models, each on a gateway of its own. */
#ifndef PERIGEE_TESTING_H
#define PERIGEE_TESTING_H

#include "config.h"

/* Runs busted over config->dirs; `words` are more words for it. Returns the exit code: 0 when all specs pass, 1 when one does not, 2
 * when they cannot be run. The models have been checked. */
int testing_run(const struct config *config, int n_words, char **words);

#endif
