// The process metrics of Prometheus' own clients, under the same names.

import { Counter, Gauge, type MetricRegistry } from '../../server/metrics/registry.ts'

export function addProcessMetrics(registry: MetricRegistry): void {
  const resident = registry.add(
    new Gauge({ name: 'process_resident_memory_bytes', help: 'Memory of the process.' }),
  )
  const started = registry.add(
    new Gauge({ name: 'process_start_time_seconds', help: 'Start, in seconds since 1970.' }),
  )
  const cpu = registry.add(
    new Counter({ name: 'process_cpu_seconds_total', help: 'Time of the processor.' }),
  )
  started.set(Date.now() / 1000 - process.uptime())
  registry.collectWith(() => {
    const { user, system } = process.cpuUsage()
    resident.set(process.memoryUsage.rss())
    cpu.set((user + system) / 1e6)
  })
}
