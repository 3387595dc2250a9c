// Several answers to one prompt: the first sequence computes the prompt, the others wait and begin
// after it. Independent of rows and programs.

import type { Sequence } from './sequence.ts'

export class CopyGroup<One extends Sequence> {
  readonly members: One[] = []
  /** Whether the prompt is computed, so that each member continues independently. */
  isRead = false

  /**
   * Whether this member waits for another one to compute the prompt: the first that has not ended.
   */
  isHeld(member: One): boolean {
    return !this.isRead && this.members.find(({ state }) => state !== 'ended') !== member
  }

  /**
   * Called when the prompt is computed; returns the members that still wait and can begin after it.
   */
  listFollowers(): readonly One[] {
    return this.isRead ? [] : this.members.filter(({ state }) => state === 'waiting')
  }
}
