"""Fetch revisions with libgit2 into a store that belongs to the agent, and read them as bytes.

Nothing here is believed: what comes out is untrusted until `reconcile.authority` says otherwise. Whatever a remote
sends is taken in by a child process with a deadline and a memory limit, because libgit2's own timeouts hold per read
and a small pack can unfold to gigabytes. The store is a cache: it is cleaned before use and rebuilt when it is damaged.

    store     the port: fetch, tree, provenance; what lies on disk and how it is kept clean
    glance    does the remote still serve what it did? Asked without the library
    child     a forked process with limits, which ends when the agent ends
    download  what runs in that process
    library   libgit2, imported when it is needed and kept from reading anybody's settings
    objects   commits, trees and work trees as they are read
"""

from core_ops.host.git.store import GitStore

__all__ = ["GitStore"]
