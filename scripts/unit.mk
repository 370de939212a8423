# Copyright (C) the apigw authors

# The unit tests: every t/unit/<topic>.c is a program that prints TAP.  Under
# the sanitizers also the fuzz targets, t/fuzz/<topic>.c, for libFuzzer.
# Run by scripts/build --unit, which sets BUILD, CC, CFLAGS, LDFLAGS,
# NGINX_INCS and, for the fuzz targets, FUZZ.

PROGRAMS = $(patsubst t/unit/%.c,$(BUILD)/unit/%,$(wildcard t/unit/*.c))

ifdef FUZZ
PROGRAMS += $(patsubst t/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard t/fuzz/*.c))
endif

INCS     = $(NGINX_INCS) $(patsubst %,-I %,$(wildcard modules/*))
WARNINGS = -Wall -Wextra -Wno-unused-parameter -Werror
LIBS     = -llmdb -lcrypto -ljansson -lcurl -lpthread -lm

all: $(PROGRAMS)

$(BUILD)/unit/%: t/unit/%.c scripts/unit.mk
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(WARNINGS) $(INCS) -MMD -MP -o $@ $< $(LDFLAGS) $(LIBS)

$(BUILD)/fuzz/%: t/fuzz/%.c scripts/unit.mk
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -fsanitize=fuzzer $(WARNINGS) $(INCS) -MMD -MP -o $@ \
	    $< $(LDFLAGS) $(LIBS)

-include $(PROGRAMS:=.d)

.PHONY: all
