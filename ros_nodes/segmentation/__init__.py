"""The lane-segmentation node, from the camera's message to the mask's.

- `node`: the lifecycle, parameters, timers; `main`: its process
- `parameters`: what can be set, and within which limits
- `work`: what it holds from configure to cleanup
- `inference`: the worker's loop, frame in, mask out; `mailbox`: one frame waits, the newest
- `network`: opening a bundle, also while another one works
- `outputs`: the topics it publishes; `events`: what the middleware tells of the subscription
- `counts`: what happened to frames, how long it took; `diagnostics`: what /diagnostics says of it
- `device_watch`: the device's heat and throttling
"""
