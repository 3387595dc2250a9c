// The learning rate falls to zero along half a cosine. Loshchilov and Hutter 2017, arXiv:1608.03983.

import type { Schedule } from './schedule.ts'

export const cosine: Schedule = { name: 'cosine', factor: (progress) => Math.max(0, (1 + Math.cos(Math.PI * progress)) / 2) }
