//! Decisions about the console; they go on from those in [`super::decisions`].
//!
//! # 80. The menu is a tree of data, and its words are for ever
//! *Context.* A menu in code is written once for lines and once more for pages, and a script that
//! types 17 switches the box off when a line is added.
//! *Choice.* `console/menu` says what there is, what an entry asks for, what it warns of and which
//! request it makes. Both modes render it. Every entry has a stable word, which a script types from
//! anywhere; numbers are for people and change. A danger says how many messages it touches, counted
//! by a dry run or the status, and wants a typed word.
//! *Cost.* What fits no tree (the wizard, the passphrase at the door) is a state of its own.
//!
//! # 81. A page is another picture of the same console
//! *Context.* Two consoles, one for lines and one for pages, drift apart where nobody looks: login,
//! idle time, what happens when the host role dies.
//! *Choice.* The machine of the plain mode is the only one. The screen makes a line of every key
//! (a chosen entry is its word) and a page of whatever is printed; lists and the wizard's questions
//! it takes from the state and not from the print. So whatever pages offer lines offer too, and the
//! golden dialogues hold for both.
//! *Cost.* A form is asked field by field, never as a whole; nothing is edited in a table.
//!
//! # 82. ratatui's core, and a backend of our own
//! *Context.* 9,600 bits a second are 960 octets. The usual backend asks `/dev/tty` and believes
//! its size of 0 by 0, repositions before every gap, and hides the cursor.
//! *Choice.* `ratatui-core` alone (buffers, frames, a backend for tests): no widgets, no crossterm,
//! no mouse. `screen/serial.rs` keeps what is shown beside what is wanted and writes the cheapest
//! way between them with `CSI H C K J m`, CR and LF; a jump, the gap's own letters or an erasure,
//! whichever is shorter. The cursor is never hidden and no other screen is entered, so that a
//! killed console leaves nothing to repair but the line's settings, which the unit resets
//! (`TTYReset=`). A frame is made only when the last one has left (`TIOCOUTQ`), on a descriptor of
//! our own that never waits: XOFF stops the picture and nothing else.
//! *Cost.* Some 300 lines; the vt100 crate checks them on every page.
//!
//! # 83. The terminal is asked; whoever says nothing gets lines
//! *Context.* A serial line tells nothing of the terminal at its other end.
//! *Choice.* The cursor is sent to the corner and asked where it is, then the size is asked for;
//! half a second each, then lines. UTF-8 is measured, too: three octets, one column. ctrl-L and a
//! login ask again, because there is no signal for a terminal that was changed.
//! *Cost.* A line printer prints a few strange letters at the start.
//!
//! # 84. English is the key of every text
//! *Context.* Message catalogues with made-up names hide what the code says; formats of other
//! projects bring a compiler with them.
//! *Choice.* Texts stand in the code and pass `tr`; the other languages stand in blocks of text
//! beside it. A test reads the sources: a text without a translation, or a translation without a
//! text, fails. Words that are typed are the same in every language, and what other roles say stays
//! English, because it is searched for in logs and manuals. Accents are dropped where it is drawn:
//! a vt100 has none.
//! *Cost.* A changed comma needs three translators.
//!
//! # 85. A lost passphrase costs the secrets
//! *Context.* A way around the passphrase is a way for whoever steals the box, or an hour at its
//! keyboard. A way that needs only presence makes the passphrase a formality.
//! *Choice.* There is none on the console. Whoever has the machine in his hands may order a factory
//! reset by a file on the boot partition (63): configuration, keys and passphrase are destroyed
//! before anybody is asked anything, the mail that waits stays only if the order says so, and the
//! box begins as new. Whoever has prepared a signing key (`[setup] key`) may bring a signed setup
//! file instead; that key is a second passphrase and is kept like one.
//! *Cost.* Without a backup the DKIM keys are new, and their records must be published again.
//!
//! # 86. The status is seen by all unless the configuration says otherwise
//! *Context.* A colleague who sees at a glance that the box is well needs no passphrase; a rack in
//! a shared room has eyes.
//! *Choice.* Home shows states, counts, ports and versions, never an address of mail and never a
//! secret. `[console] privacy = true` leaves one line: healthy or not, and how to log in. It is
//! renewed every ten seconds (twenty on a slow line), because the host role asks the service
//! manager each time.
//! *Cost.* A change is seen up to ten seconds late; Enter asks at once.
//!
//! # 87. The cursor tells that somebody else has written
//! *Context.* The kernel and the service manager write to the same line as the pages. In QEMU one
//! line of theirs during the set-up scrolled the page, and every change after it landed a line off.
//! A console without rights cannot read what the kernel says, and keeping the kernel silent would
//! hide the last words of a machine that dies.
//! *Choice.* While a page stands, the terminal is asked every five seconds (ten on a slow line)
//! where its cursor is, in four octets. Whoever writes moves it; then the size is asked for, too
//! (it may be another terminal), and the page is painted anew, at most so often. What the consoles
//! show themselves is no longer written beside them.
//! *Cost.* Up to five seconds of a garbled page, and a terminal that answers at all.
//!
//! # 88. One value is changed in the document, not beside it
//! *Context.* Whoever stands before a box whose network has changed has no editor, and a second
//! place for settings (a database, an overlay) would disagree with the document one day.
//! *Choice.* The host role edits the document in force by `toml_edit`: the value is replaced where
//! it stands, comments and order stay. The result is checked as a whole document and goes on trial
//! as a new generation; nobody confirms it, it comes back. `address` knows where the addresses of
//! an interface stand (those of a way out with the way out); `config set` reaches every value.
//! *Cost.* Lists of tables (`[[dkim]]`) are not reached; they come with a whole document.
