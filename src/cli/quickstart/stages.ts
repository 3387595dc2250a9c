// Reports work in stages, each with its seconds.

import { formatDuration } from '../ui/format.ts'
import type { Terminal } from '../ui/terminal.ts'

export interface StageTime {
  readonly name: string
  readonly seconds: number
}

export interface Stages {
  /** Announces a stage, runs its work, and prints its seconds. */
  run<Result>(name: string, about: string, work: () => Promise<Result>): Promise<Result>
  done(): readonly StageTime[]
  /** Since the first stage began. */
  seconds(): number
}

export function createStages({ say, style, now }: Terminal): Stages {
  const finished: StageTime[] = []
  const started = now()
  return {
    async run(name, about, work) {
      const begun = now()
      say(
        `${finished.length > 0 ? '\n' : ''}${style.strong(`${finished.length + 1}. ${name}`)}  ${about}`,
      )
      const result = await work()
      const seconds = (now() - begun) / 1000
      finished.push({ name, seconds: Number(seconds.toFixed(2)) })
      say(style.faint(`  ${formatDuration(seconds)}`))
      return result
    },
    done: () => finished,
    seconds: () => Number(((now() - started) / 1000).toFixed(2)),
  }
}
