//! Decisions about the appliance; they go on from those in [`super::decisions`].
//!
//! # 73. The boot loader is replaced after a good boot
//! *Context.* One loader starts both slots, and systemd-boot-update.service replaced it at the
//! start of a trial: one that this firmware dislikes would have ended both.
//! *Choice.* postern-settled.service brings that of the confirmed image: only a newer one, never an
//! unsigned one for a signed one, written beside, read back, renamed, the firmware's fallback path
//! last. What was there stays as `.old`.
//! *Cost.* About 200 lines in the place of bootctl. A loader that the firmware refuses still needs
//! somebody at the machine, who has the `.old` file.
//!
//! # 74. A recovery key is made until somebody has it
//! *Context.* A key that is shown once is lost by the restart that comes before somebody reads it.
//! *Choice.* Each start makes another key and shows it on every console, until the administrator
//! says that it is written down. That mark lies inside the encryption: on the boot partition,
//! whoever holds the disk for a minute could remove it and be shown a key. For the same reason a
//! slot that is missing while the mark stands is told, and never made anew by itself.
//! *Cost.* One restart to renew it. A box that was set up before this shows a new key until it is
//! acknowledged, and its old key ends.
//!
//! # 75. Whoever types the recovery key vouches for the machine
//! *Context.* Keys of Secure Boot that are enrolled later, or a list of the firmware that is
//! renewed, change PCR 7: the TPM opens nothing any more.
//! *Choice.* The key is asked for once and without a time limit, opens both disks, and seals both
//! to the TPM as it measures now. It is told on consoles, journal and status.
//! *Cost.* Typed on a tampered firmware it trusts that, which has the key by then anyway.
//!
//! # 76. What e2fsck leaves is mended without asking
//! *Context.* A file system that `e2fsck -p` gives up left a box without state and without help.
//! *Choice.* `e2fsck -y` follows once, and which file system it was is told; the spool's own checks
//! then say what is lost. If even that fails, the emergency's console offers restart, power off and
//! a factory reset of everything. None that keeps the mail: no passphrase can be checked there, and
//! a kept spool would belong to whoever sets the box up next.
//! *Cost.* Nobody can save by hand what -y drops.
//!
//! # 77. A backup holds what the document names
//! *Context.* Whole folders were carried, with bounds that only the way back knew.
//! *Choice.* What the document names is carried, or the backup is refused with path and remedy;
//! what was made is opened and checked as a restore does before success is told.
//! *Cost.* Keys that are made ahead and not named yet are not in it; a certificate elsewhere must
//! be put below `/etc/postern/tls`; a second Argon2id, about 200 ms.
//!
//! # 78. Every place for a setup file is looked at until one is taken
//! *Context.* A credential of the virtual machine stays for ever and hid the signed file on a
//! stick.
//! *Choice.* What is known or refused does not hide the next place; each refusal is shown.
//! *Cost.* Several refusals can stand side by side in one start.
//!
//! # 79. The host role is alive while its desk is free, or taken for less than 20 minutes
//! *Context.* The longest honest deed (a change, forth and back, with all its limits) takes that.
//! *Choice.* Beats for the service manager go on by themselves and end when the desk is held
//! longer.
//! *Cost.* A real deadlock lasts 21 minutes; no honest change is killed.
//!
//! # 89. Keys lie outside the checkout, and are made when asked
//! *Context.* They lay below `target` and were made by the way: a clean-up lost them, and no box of
//! those builds could be updated again.
//! *Choice.* `image/keys` makes them in the user's folder, a build without keys stops, tests ask
//! for throw-away ones. A public half whose secret is kept elsewhere is never replaced.
//! *Cost.* One more command before the first build. Whoever countersigns must compare the root hash
//! with a build of his own.
//!
//! # 90. Disks to import have 8 GiB, hash trees 4 KiB blocks
//! *Context.* Nobody flashes a qcow2 onto something larger, and the first boot wants 5 GiB;
//! systemd-repart made trees of 512-octet blocks, of which the partition held a quarter of a slot.
//! *Choice.* Sparse disks whose second table moves at the first boot; block sizes are given, and a
//! root fills at most 60 % of its slot. The vmdk's number follows the root hash, so that two builds
//! stay the same.
//! *Cost.* Whoever wants more spool enlarges the disk.
