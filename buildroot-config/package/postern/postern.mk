################################################################################
#
# postern
#
################################################################################

# This tree and the program are one checkout, so the program is taken from there; what comes from
# outside are the crates (package/postern-crates) and the compiler (package/postern-rust), each
# held by a sum.
POSTERN_VERSION = 0.1.0
POSTERN_SITE = $(BR2_EXTERNAL_POSTERN_PATH)/..
POSTERN_SITE_METHOD = local
POSTERN_OVERRIDE_SRCDIR_RSYNC_EXCLUSIONS = --exclude=/target
POSTERN_LICENSE = Apache-2.0
POSTERN_LICENSE_FILES = LICENSE
POSTERN_DEPENDENCIES = postern-crates host-postern-rust

# The crates of the archive stand in for the registry; Cargo.lock has the sum of each of them, and
# cargo compares.
define POSTERN_USE_CRATES
	mkdir -p $(@D)/.cargo
	printf '[source.crates-io]\nreplace-with = "archive"\n\n[source.archive]\ndirectory = "%s"\n' \
		'$(POSTERN_CRATES_DIR)/crates' >$(@D)/.cargo/config.toml
endef
POSTERN_POST_RSYNC_HOOKS += POSTERN_USE_CRATES

# The newer compiler first in the path, and the profile of Cargo.toml where Buildroot has its own,
# so that both images hold a program built the same way.
POSTERN_CARGO_ENV = \
	PATH="$(HOST_POSTERN_RUST_PREFIX)/bin:$(BR_PATH)" \
	CARGO_PROFILE_RELEASE_LTO="thin" \
	CARGO_PROFILE_RELEASE_CODEGEN_UNITS="4"

POSTERN_CARGO_BUILD_OPTS = --bin postern
POSTERN_CARGO_INSTALL_OPTS = --bin postern

$(eval $(cargo-package))
