/*
 * Who may remove what, while others write and read: the protocol of 0019-what-may-be-removed.md in small, for spin.
 * `scripts/check-models` looks at every interleaving of a writer, a reader and a pruner, and of leases that end although
 * their holder goes on; TWO_WRITERS and TWO_PRUNERS are for longer looks. Who dies is one who is never seen again: every
 * prefix of every run is looked at. WRITER_LOOKS_AT_NOTHING, READER_LOOKS_AT_NOTHING and SWEEP_DOES_NOT_WAIT leave out
 * what the protocol needs: each has to be found out.
 *
 * Packs and snapshots are bits. Pack 0 belongs to snapshot 0, pack 1 to snapshot 1, pack 2 to none: an interrupted run left
 * it. Writer w makes pack 3+w and snapshot 2+w.
 */
#define BIT(n) (1 << (n))
#define snapshots_max 4

byte packs = 7;                  /* that are there */
byte snapshots = 3;              /* whose record is there */
byte reach[snapshots_max];       /* packs of each snapshot */

/* Leases: who holds it, 0 for nobody; a window is the time between a check and what is done upon it, in which the lease does
   not end: it is a third of its time to live, and longer than any request. */
byte backup_holder = 0;
bool backup_window[2];
byte prune_holder = 0;
bool prune_window[2];

/* What a pruner has condemned: one note of each. */
bool condemned[2];
byte condemned_snapshots[2];
byte condemned_packs[2];
bool witnessed[2];
byte witness[2];                 /* who held the backup lease after the note was there */

byte pin = 255;                  /* the snapshot that the reader holds; 255: none */

inline reach_of(set, result) {
  d_step {
    result = 0;
    if :: set & BIT(0) -> result = result | reach[0] :: else fi;
    if :: set & BIT(1) -> result = result | reach[1] :: else fi;
    if :: set & BIT(2) -> result = result | reach[2] :: else fi;
    if :: set & BIT(3) -> result = result | reach[3] :: else fi;
  }
}

/* No snapshot that is there lacks a pack; there is one at all. */
inline check_sound() {
  d_step {
    byte needed;
    reach_of(snapshots, needed);
    assert((needed & ~packs) == 0);
    assert(snapshots != 0);
    needed = 0;
  }
}

proctype writer(byte w) {
  byte forbidden, base, mine;
  bool held;

  atomic { backup_holder == 0 -> backup_holder = w + 1 };
  /* After it has the lease it looks at what is condemned, then at the roots. */
#ifndef WRITER_LOOKS_AT_NOTHING
  d_step {
    if :: condemned[0] -> forbidden = forbidden | condemned_packs[0] :: else fi;
    if :: condemned[1] -> forbidden = forbidden | condemned_packs[1] :: else fi;
  };
#endif
  /* Any snapshot there is to begin with, and what nobody reaches. */
  atomic {
    if
    :: snapshots & BIT(0) -> base = reach[0]
    :: snapshots & BIT(1) -> base = reach[1]
    :: base = 0
    fi;
    if
    :: packs & BIT(2) -> base = base | BIT(2)
    :: skip
    fi;
    mine = base & ~forbidden & packs;
  };
  packs = packs | BIT(3 + w);
  mine = mine | BIT(3 + w);
  /* It asks whether it still has the lease, and then publishes. */
  atomic { held = (backup_holder == w + 1); backup_window[w] = held };
  if
  :: held ->
     atomic { reach[2 + w] = mine; snapshots = snapshots | BIT(2 + w); check_sound() };
     backup_window[w] = false;
     atomic { if :: backup_holder == w + 1 -> backup_holder = 0 :: else fi }
  :: else
  fi;
dead:
  backup_window[w] = false
}

/* Ends leases of the dead, and of those who are only slow. */
proctype time() {
  do
  :: atomic { backup_holder != 0 && !backup_window[backup_holder - 1] -> backup_holder = 0 }
  :: atomic { prune_holder != 0 && !prune_window[prune_holder - 1] -> prune_holder = 0 }
  :: break
  od
}

proctype reader() {
  byte which;
  if :: which = 0 :: which = 1 fi;
  pin = which;
  /* Only then does it look. */
  if
#ifndef READER_LOOKS_AT_NOTHING
  :: (condemned[0] && (condemned_snapshots[0] & BIT(which))) || (condemned[1] && (condemned_snapshots[1] & BIT(which))) -> pin = 255
#endif
  :: else ->
     if
     :: !(snapshots & BIT(which)) -> pin = 255
     :: else ->
        /* It reads, for as long as it likes. */
        assert((reach[which] & ~packs) == 0);
        assert((reach[which] & ~packs) == 0);
        pin = 255
     fi
  fi
}

/* Removes what the note n condemned and no root reaches, if all are gone who may not have seen the note. */
inline sweep(n) {
  if
  :: atomic { condemned[n] && !witnessed[n] -> witness[n] = backup_holder; witnessed[n] = true }
  :: else
  fi;
  if
#ifdef SWEEP_DOES_NOT_WAIT
  :: condemned[n] ->
#else
  :: condemned[n] && witnessed[n] && (witness[n] == 0 || backup_holder != witness[n]) ->
#endif
     reach_of(snapshots, rooted);
     /* One pack after the other. */
     doomed = condemned_packs[n] & ~rooted;
     atomic { packs = packs & ~(doomed & 5); check_sound() };
     atomic { packs = packs & ~(doomed & 26); check_sound() };
     condemned[n] = false
  :: else
  fi
}

proctype pruner(byte p) {
  byte rooted, doomed, all, remove;
  bool held;

  atomic { prune_holder == 0 -> prune_holder = p + 1 };
  /* What an earlier one left. */
  sweep(1 - p);
  /* The packs first, then the roots. */
  all = packs;
  atomic {
    remove = 0;
    rooted = snapshots;
    if :: (rooted & BIT(0)) -> remove = remove | BIT(0) :: skip fi;
    if :: (rooted & BIT(1)) -> remove = remove | BIT(1) :: skip fi;
    if :: (rooted & BIT(2)) -> remove = remove | BIT(2) :: skip fi;
    /* One stays. */
    if :: (rooted & ~remove) == 0 -> goto dead :: else fi;
    reach_of((rooted & ~remove), doomed);
    doomed = all & ~doomed;
  };
  /* The note, before anything else is looked at. */
  atomic { condemned[p] = true; witnessed[p] = false; condemned_snapshots[p] = remove; condemned_packs[p] = doomed };
  /* Who is pinned stays. */
  if :: pin != 255 -> remove = remove & ~BIT(pin) :: else fi;
  do
  :: remove == 0 -> break
  :: remove != 0 ->
     atomic { held = (prune_holder == p + 1); prune_window[p] = held };
     if
     :: !held -> goto dead
     :: else ->
        atomic {
          if
          :: remove & BIT(0) -> snapshots = snapshots & ~BIT(0); remove = remove & ~BIT(0)
          :: remove & BIT(1) -> snapshots = snapshots & ~BIT(1); remove = remove & ~BIT(1)
          :: remove & BIT(2) -> snapshots = snapshots & ~BIT(2); remove = remove & ~BIT(2)
          fi;
          check_sound()
        };
        prune_window[p] = false
     fi
  od;
  sweep(p);
  atomic { if :: prune_holder == p + 1 -> prune_holder = 0 :: else fi };
dead:
  prune_window[p] = false
}

init {
  atomic {
    reach[0] = BIT(0);
    reach[1] = BIT(1);
    run writer(0);
#ifdef TWO_WRITERS
    run writer(1);
#endif
    run reader();
    run time();
    run pruner(0);
#ifdef TWO_PRUNERS
    run pruner(1)
#endif
  }
}
