// Synthetic examples of a role: vectors for a standalone adapter, and questions with checked
// answers for a language model. The same seed, the same data.

import { OptionError } from '../../../base/errors.ts'
import { random } from '../../../base/random.ts'
import {
  type EmbeddingDataset,
  createTextDataset,
  type TextDataset,
  type TextExample,
} from '../adapter-dataset.ts'
import type { DataRecord } from '../../data/data-format.ts'
import { generateVectors } from './generate-vectors.ts'
import { getRoleData, getTask } from './role-data-table.ts'
import type { TaskFacts } from './role-data.ts'

const attempts = 8 // draws for a question that was not asked yet

function checkCount(name: string, value: number, least = 1): void {
  if (!Number.isSafeInteger(value) || value < least)
    throw new OptionError(`${name} must be an integer from ${least}, got ${value}.`)
}

/**
 * Whether an answer to a row of `tasks` is right; several may be, where a question leaves it open.
 * `task` is the row's label: 'coder/loop'.
 */
export function checkAnswer(task: string, row: DataRecord, answer: string): boolean {
  const { facts } = (row['meta'] ?? {}) as { facts?: TaskFacts }
  if (!facts)
    throw new OptionError(
      `A row of the task "${task}" has no facts under "meta": it is none of SyntheticDataGenerator's.`,
    )
  return getTask(task).check(facts, answer)
}

/** Data of the roles of `roles`: coder, researcher, security, architect, reviewer. */
export class SyntheticDataGenerator {
  readonly width: number // D
  readonly seed: number

  constructor(width: number, seed: number) {
    checkCount('The width', width)
    checkCount('The seed', seed, Number.MIN_SAFE_INTEGER)
    this.width = width
    this.seed = seed
  }

  /**
   * Vectors [count, D] and their targets, with the role's qualities; formula in
   * generate-vectors.ts. Topics are the tasks' labels.
   */
  generate(role: string, count: number): EmbeddingDataset {
    checkCount('The number of examples', count)
    const { name, domain, topics } = getRoleData(role)
    const columns = generateVectors(name, topics, { width: this.width, seed: this.seed, count })
    const labels = topics.map((topic) => `${name}/${topic.name}`)
    return {
      level: 'embedding',
      name: `synthetic ${name}`,
      width: this.width,
      inputs: columns.inputs,
      targets: columns.targets,
      quality: columns.quality,
      tasks: Array.from(columns.topics, (topic) => labels[topic]),
      domains: Array.from({ length: count }, () => domain),
      groups: Array.from({ length: count }, () => undefined),
    }
  }

  /**
   * Questions { prompt, completion } whose answers are right by construction, tasks in turn; hardly
   * any twice. `checkAnswer` judges other answers.
   */
  tasks(role: string, count: number): TextDataset {
    checkCount('The number of tasks', count)
    const { name, domain, tasks } = getRoleData(role)
    const generator = random(this.seed)
    const asked = new Set<string>()
    const examples = Array.from({ length: count }, (_, i): TextExample => {
      const task = tasks[i % tasks.length]!
      let made = task.generate(generator)
      for (let attempt = 1; asked.has(made.prompt) && attempt < attempts; attempt++)
        made = task.generate(generator)
      asked.add(made.prompt)
      const { prompt, completion, facts } = made
      return { row: { prompt, completion, meta: { facts } }, task: `${name}/${task.name}`, domain }
    })
    return createTextDataset(`synthetic ${name} tasks`, examples)
  }
}
