/** A page with one dashboard, drawn by Splunk's own components. `window.definition` is what `run.mjs` puts there. */

import React from 'react';
import { createRoot } from 'react-dom/client';
import { DashboardContextProvider } from '@splunk/dashboard-context';
import DashboardCore from '@splunk/dashboard-core';
import EnterpriseViewOnlyPreset from '@splunk/dashboard-presets/EnterpriseViewOnlyPreset';
import { SplunkThemeProvider } from '@splunk/themes';

const wrong = [];
window.wrong = wrong;

function Page() {
  return (
    <SplunkThemeProvider family="enterprise" colorScheme="light" density="comfortable">
      <DashboardContextProvider preset={EnterpriseViewOnlyPreset} initialDefinition={window.definition} initialMode="view" featureFlags={{}}>
        <DashboardCore width="100%" height={window.pageHeight} onValidationError={(error) => wrong.push(JSON.stringify(error))} />
      </DashboardContextProvider>
    </SplunkThemeProvider>
  );
}

createRoot(document.getElementById('page')).render(<Page />);
