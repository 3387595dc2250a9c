// MicroLoRA's own tests, as they run in Node: every file of src/micro that needs no more than
// vitest's words.

import '../../../src/micro/bad-input.test.ts'
import '../../../src/micro/ewc.test.ts'
import '../../../src/micro/gradient.test.ts'
import '../../../src/micro/head.test.ts'
import '../../../src/micro/kernels/kernels.test.ts'
import '../../../src/micro/micro-lora.test.ts'
import '../../../src/micro/migration.test.ts'
import '../../../src/micro/files/saved.test.ts'
import '../../../src/micro/module/step.test.ts'
import '../../../src/micro/reward.test.ts'
import { runAll } from './suite.ts'

Object.assign(globalThis, { outcomes: runAll() })
