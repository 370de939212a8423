# Copyright (C) the apigw authors

# The unit tests: every t/unit/<topic>.c is a program that prints TAP.
# Run by scripts/build --unit, which sets BUILD, CC, CFLAGS, LDFLAGS and
# NGINX_INCS.

PROGRAMS = $(patsubst t/unit/%.c,$(BUILD)/unit/%,$(wildcard t/unit/*.c))

INCS     = $(NGINX_INCS) $(patsubst %,-I %,$(wildcard modules/*))
WARNINGS = -Wall -Wextra -Wno-unused-parameter -Werror
LIBS     = -llmdb -lcrypto -ljansson -lpthread -lm

all: $(PROGRAMS)

$(BUILD)/unit/%: t/unit/%.c scripts/unit.mk
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(WARNINGS) $(INCS) -MMD -MP -o $@ $< $(LDFLAGS) $(LIBS)

-include $(PROGRAMS:=.d)

.PHONY: all
