// The learning rate falls in a straight line to zero.

import type { Schedule } from './schedule.ts'

export const linear: Schedule = { name: 'linear', factor: (progress) => Math.max(0, 1 - progress) }
