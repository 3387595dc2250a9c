// A process that improves an expert and ends itself with SIGKILL at a named step: before or after
// one of the calls that change a registry or its trials, or at a step of the training.
import { improveExpert } from '../../src/node/improve/improve-expert.ts'
import { openRegistry } from '../../src/node/registry/open-registry.ts'
import { openTrials } from '../../src/node/registry/trials/open-trials.ts'
import { openSqliteStore } from '../../src/node/stores/sqlite-store.ts'

const [registryFolder, users, step, options] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
]
const registry = await openRegistry(registryFolder)
const opened = await openTrials(registry.location)
const store = await openSqliteStore(users)

const die = (): void => void process.kill(process.pid, 'SIGKILL')
const targets: Readonly<Record<string, object>> = {
  registry,
  trials: opened.trials,
  improvements: opened.improvements,
}

/** 'before registry.add', 'after trials.end', 'training', 'training waits'. */
function prepareEnd(): void {
  const found = /^(before|after) (\w+)\.(\w+)$/.exec(step)
  if (!found) return
  const [, when, name, method] = found as unknown as [string, string, string, string]
  const target = targets[name] as Record<string, (...given: unknown[]) => Promise<unknown>>
  const own = target[method]!.bind(target)
  target[method] = async (...given) => {
    if (when === 'before') die()
    const result = await own(...given)
    die()
    return result
  }
}

prepareEnd()
const report = await improveExpert(
  'teller',
  { registry, opened, store },
  Object.assign(JSON.parse(options), {
    onEvent(event: { readonly type: string }) {
      if (event.type !== 'step-end' || !step.startsWith('training')) return
      if (step === 'training') die()
      console.log('trains')
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60_000)
    },
  }),
)
console.log(JSON.stringify(report))
await store.close()
await opened.close()
await registry.close()
