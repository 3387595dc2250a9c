// The learning rate stays.

import type { Schedule } from './schedule.ts'

export const constant: Schedule = { name: 'constant', factor: () => 1 }
