// The order of test files: those that take longest come first, so that no worker waits at the end
// of a stage for one long file. vitest itself begins with the largest, a poor estimate on a fresh
// clone.
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** 20 s and more, the longest first. */
const slowFiles = [
  'test/docs.test.ts',
  'test/e2e/train.test.ts',
  'test/e2e/learn.test.ts',
  'test/server/process.test.ts',
  'test/smollm2-generate.test.ts',
  'test/e2e/resume.test.ts',
  'src/node/jobs/trainer.test.ts',
  'test/e2e/compress.test.ts',
  'test/e2e/usage.test.ts',
  'test/examples.test.ts',
  'test/e2e/experts.test.ts',
  'src/node/engine/open-engine-worker.test.ts',
  'test/e2e/expert-json.test.ts',
  'test/e2e/adapter-formats.test.ts',
  'test/e2e/manifest.test.ts',
  'src/node/sandbox/tests-pass.test.ts',
  'src/runtime/engine/states.test.ts',
  'src/runtime/long-context.test.ts',
]

function rankFile({ moduleId }: TestSpecification): number {
  const found = slowFiles.findIndex((name) => moduleId.endsWith(name))
  return found < 0 ? slowFiles.length : found
}

export default class SlowFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return (await super.sort(files)).toSorted((a, b) => rankFile(a) - rankFile(b))
  }
}
