// The script of an engine's worker, bundled by itself.

import '../../../src/web/worker/worker-main.ts'
