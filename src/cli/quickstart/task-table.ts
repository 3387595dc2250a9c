// The table of quickstart tasks, and the choice of one for a model.

import { intentTask } from './intent-task.ts'
import { storyTask } from './story-task.ts'
import type { Task } from './task.ts'

export const tasks: ReadonlyMap<string, Task> = new Map(
  [intentTask, storyTask].map((task) => [task.name, task]),
)

/**
 * A task needs a model that follows instructions, which a chat template indicates; any other learns
 * to tell stories.
 */
export const selectTask = (base: { readonly chatTemplate?: object | string | undefined }): Task =>
  base.chatTemplate === undefined ? storyTask : intentTask
