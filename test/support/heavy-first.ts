import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Rooms whose tests start real processes. */
const HEAVY = /\/test\/(engines|host|scenarios|soak)\//;

/** Files that take long begin first, so that the many short ones fill up the end; a fresh clone knows no durations. */
export class HeavyFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isHeavy = ({ moduleId }: TestSpecification) => HEAVY.test(moduleId);
    return [...sorted.filter(isHeavy), ...sorted.filter((file) => !isHeavy(file))];
  }
}
