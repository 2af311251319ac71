"""The parts of a pack, in the order in which `edge_seg.packer` uses them.

``request`` what is asked and what comes out; ``deciding`` the recipe and the sensitivity;
``tournament`` a contestant lowered, run and timed; ``rescue`` layers back to float;
``judging`` everyone's row; ``doubts`` what to see to first; ``proof`` the target's own trial of
the winner; ``contents`` and ``model_card`` what goes into the bundle.
"""
