// Several answers of one prompt: the first sequence reads it, the others wait for that and begin
// after it. Independent of rows and programs.

import type { Sequence } from './sequence.ts'

export class CopyGroup<One extends Sequence> {
  readonly members: One[] = []
  /** Whether the prompt was read, so that each member continues by itself. */
  isRead = false

  /** Whether this member waits for another one to read the prompt: the first that has not ended. */
  isHeld(member: One): boolean {
    return !this.isRead && this.members.find(({ state }) => state !== 'ended') !== member
  }

  /** The prompt is read now: those who still wait, to begin behind it. */
  listFollowers(): readonly One[] {
    return this.isRead ? [] : this.members.filter(({ state }) => state === 'waiting')
  }
}
