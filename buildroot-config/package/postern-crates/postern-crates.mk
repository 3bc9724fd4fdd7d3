################################################################################
#
# postern-crates
#
################################################################################

# The first half of the SHA-256 of Cargo.lock: other crates, another archive. Renewed together with
# the sum in postern-crates.hash by "buildroot-config/vendor --renew".
POSTERN_CRATES_VERSION = fdf8485951e1a25ef4aa2e604f40d0ef
POSTERN_CRATES_SITE = $(call qstrip,$(BR2_PACKAGE_POSTERN_CRATES_SITE))
# Every licence that occurs in an expression of a crate, often as one of a choice; what is really
# built is held to the list in .deny.toml. Which crate has which: LICENSES.txt of the archive.
POSTERN_CRATES_LICENSE = 0BSD, Apache-2.0, BSD-3-Clause, BSL-1.0, CC0-1.0, CDLA-Permissive-2.0, ISC, LGPL-2.1-or-later, MIT, MIT-0, NCSA, Unicode-3.0, Unlicense, Zlib
POSTERN_CRATES_LICENSE_FILES = LICENSES.txt

# Nothing is built or installed: package/postern reads the folder.
$(eval $(generic-package))
